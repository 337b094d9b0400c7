"""The simulated exchange of gradients, where its time is known without a simulation."""

import json

import numpy as np
import programs
import pytest

from cc_jax.errors import InputError
from cc_jax.tools.simulate_scaling import Network, measured, simulate

# 10^9 bytes per second within a host, a tenth of it between hosts, no latency.
PLAIN = Network(per_host=4, within=1e9, between=1e8, hop=0.0)


def test_an_all_reduce_takes_what_a_ring_takes():
    assert PLAIN.all_reduce(1e9, 1) == 0
    assert PLAIN.all_reduce(1e9, 2) == pytest.approx(1.0)  # half of the bytes there, half back
    assert PLAIN.all_reduce(1e9, 4) == pytest.approx(2 * 3 / 4)
    # Two hosts: each of the four devices also exchanges its quarter with its peer, ten times as slowly.
    assert PLAIN.all_reduce(1e9, 8) == pytest.approx(2 * 3 / 4 + 10 / 4)
    with_hops = Network(4, 1e9, 1e8, hop=0.01)
    assert with_hops.all_reduce(0.0, 12) == pytest.approx(2 * (3 + 2) * 0.01)


def test_one_device_takes_its_own_time():
    assert simulate(0.5, 1e9, 1, PLAIN, parts=4, spread=0.0) == pytest.approx(0.5)


def test_all_messages_but_the_last_overlap_with_the_backward_pass():
    whole = PLAIN.all_reduce(1e8, 4)  # 0.15 s
    assert simulate(3.0, 1e8, 4, PLAIN, parts=1, spread=0.0) == pytest.approx(3.0 + whole)
    assert simulate(3.0, 1e8, 4, PLAIN, parts=5, spread=0.0) == pytest.approx(3.0 + whole / 5)
    # A network slower than the backward pass: the first message starts after 1.4 s, and the others wait for it.
    slow = PLAIN.all_reduce(1e10, 4)
    assert simulate(3.0, 1e10, 4, PLAIN, parts=5, spread=0.0) == pytest.approx(1 + 0.4 + slow)


def test_the_slowest_is_waited_for():
    """The expected maximum of 64 normal variables is 2.34 standard deviations (Harter 1961)."""
    alone = Network(64, np.inf, np.inf, 0.0)
    mean = simulate(1.0, 1.0, 64, alone, parts=1, spread=0.01, rounds=20_000)
    assert mean == pytest.approx(1 + 2.34 * 0.01, abs=2e-4)


def test_the_steps_time_is_the_median_of_the_logged_rows():
    rows = [
        {"step": 20 * i, "stage": "a", "steps_per_s": rate} for i, rate in enumerate((0.1, 4.0, 4.0, 5.0))
    ]
    rows += [{"step": 200, "stage": "b", "steps_per_s": 2.0}, {"step": 220, "stage": "b", "loss": 1.0}]
    assert measured(rows, None) == ("a", 0.25) and measured(rows, "b") == ("b", 0.5)
    for wrong in ((rows, "c"), ([], None)):
        with pytest.raises(InputError, match="log.jsonl has no timed row"):
            measured(*wrong)


def test_the_command(tmp_path):
    command = ["-m", "cc_jax.tools.simulate_scaling"]
    told = [*command, "--config=configs/demo.py:smoke", "--step_ms=20", "--devices=16", "--spread=0"]
    said = programs.run(told).stdout
    assert "20 ms per step on one device" in said and said.splitlines()[2].split()[:2] == ["16", "2"]
    for wrong in ([], ["--config=configs/demo.py:smoke"], ["--step_ms=20", f"--workdir={tmp_path}"]):
        done = programs.run([*command, *wrong])
        assert done.returncode in (2, 4) and len(done.stderr.splitlines()) == 1, json.dumps(done.stderr)
