"""Runs of several processes, which talk through gloo on 127.0.0.1."""

import json
import pathlib
import signal
import socket
import time

import numpy as np
import programs
import pytest

from cc_jax.distributed import processes
from cc_jax.inference.predict import Prediction, _from_bytes, _to_bytes


def test_one_process_shares_with_nobody():
    assert list(processes.share(3)) == [0, 1, 2]
    assert processes.any_of(True) and not processes.any_of(False)


def test_a_prediction_survives_the_journey():
    samples = np.random.default_rng(0).random((3, 4, 5), np.float32)
    sent = Prediction("a b/ü", 7, samples, float("nan"), np.ones(2, np.float32), np.zeros((0, 2)))
    came = _from_bytes(_to_bytes(sent))
    assert (came.id, came.index) == ("a b/ü", 7) and np.isnan(came.true)
    np.testing.assert_array_equal(came.samples, samples)
    assert came.points.shape == (0, 2)


def free_port():
    with socket.socket() as own:
        own.bind(("127.0.0.1", 0))
        return own.getsockname()[1]


def start(number, arguments, environment):
    """Start `number` processes of one run."""
    port = free_port()
    return [
        programs.Program(
            [*arguments, f"--coordinator=127.0.0.1:{port}", f"--processes={number}", f"--process={i}"],
            env={**environment, "JAX_COORDINATOR_BIND_ADDRESS": f"127.0.0.1:{port}"},
        )
        for i in range(number)
    ]


def ended(processes, codes=(0,)):
    """Wait for all processes, check their exit codes, and return (stdout, stderr) of each."""
    try:
        said = [process.communicate(timeout=400) for process in processes]
    finally:
        for process in processes:
            process.kill()
    for process, (_, errors) in zip(processes, said, strict=True):
        assert process.returncode in codes, errors[-3000:]
    return said


HANDED = """
import json, sys
import jax
from cc_jax.distributed import processes
processes._CHUNK = 50
number, port, me = map(int, sys.argv[1:])
processes.connect(f"127.0.0.1:{port}", number, me, 60)
mine = [bytes([me]) * (20 * i) for i in range(7 * me)]
items = [(len(item), item[:1].hex()) for item in processes.allgather_stream(mine)]
print("\\n", json.dumps([items, processes.any_of(me == 1), list(processes.share(5))]))
"""


def test_everyones_items_come_to_all_in_one_order(environment):
    port = free_port()
    processes = [programs.Program(["-c", HANDED, "3", str(port), str(i)], env=environment) for i in range(3)]
    # The last line, because gloo prints something before it.
    said = [json.loads(out.splitlines()[-1]) for out, _ in ended(processes)]
    items, told, own = zip(*said, strict=True)
    assert items[0] == items[1] == items[2] and all(told)
    expected = [[20 * i, bytes([me] * bool(i)).hex()] for me in (1, 2) for i in range(7 * me)]
    assert sorted(items[0]) == sorted(expected)
    assert sorted(sum(own, [])) == [0, 1, 2, 3, 4]


def arguments(workdir, *more):
    return ["-m", "cc_jax.train", *programs.SMALL_RUN, f"--workdir={workdir}", "--config.threads=1", *more]


def results(workdir: pathlib.Path):
    return json.loads((workdir / "results.json").read_text())


@pytest.mark.slow
def test_two_processes_end_where_one_does(environment, tmp_path):
    alone, both = tmp_path / "alone", tmp_path / "both"
    done = programs.run(arguments(alone), env=environment)
    assert done.returncode == 0, done.stderr
    said = ended(start(2, arguments(both, "--distributed"), environment))
    # Only the first process prints.
    assert "MAE" in said[0][0] and "MAE" not in said[1][0]
    for one, two in zip(results(alone), results(both), strict=True):
        assert two["mae"] == pytest.approx(one["mae"], rel=1e-3)
        assert two["images"] == one["images"] and two["interval_width"] == pytest.approx(
            one["interval_width"], rel=0.02
        )
    # Every image is counted once; and one process resumes from what two have saved.
    rows = [
        [line.split(",")[:2] for line in (w / "predictions.csv").read_text().splitlines()]
        for w in (alone, both)
    ]
    assert rows[0] == rows[1]
    for path in (both / "results.json", *both.glob("manifests/8.json")):
        path.unlink()
    again = programs.run(arguments(both), env=environment)
    assert again.returncode == 0 and "resuming from step" in again.stdout, again.stderr
    assert results(both)[-1]["mae"] == pytest.approx(results(alone)[-1]["mae"], rel=1e-3)


def two_at_work(workdir, environment, *more):
    """Start two processes of one run, and wait until they have logged a row."""
    processes = start(
        2, arguments(workdir, "--distributed", "--config.method.name=no_adapt", *more), environment
    )
    log = workdir / "log.jsonl"
    while not (log.exists() and log.read_text()) and all(process.poll() is None for process in processes):
        time.sleep(0.2)
    return processes


@pytest.mark.slow
def test_a_sigterm_to_one_of_two_saves_and_ends_both(environment, tmp_path):
    steps = ("--config.steps=400", "--config.checkpoint.every=1000")
    processes = two_at_work(tmp_path, environment, *steps)
    processes[1].send_signal(signal.SIGTERM)
    said = ended(processes, codes=(75,))
    assert all("the same command resumes" in errors for _, errors in said)
    assert len(list((tmp_path / "manifests").glob("*.json"))) == 1


@pytest.mark.slow
def test_a_dead_peer_ends_the_other(environment, tmp_path):
    steps = ("--config.steps=4000", "--heartbeat=10")
    processes = two_at_work(tmp_path, environment, *steps)
    processes[1].kill()
    try:
        _, errors = processes[0].communicate(timeout=120)
    finally:
        processes[0].kill()
    # It exits with 75 if its host waited for the peer, and JAX's heartbeat aborts it if its device did.
    said = "resumes from the last checkpoint" if processes[0].returncode == 75 else "heartbeat"
    assert processes[0].returncode and said in errors


def test_wrong_addresses_are_one_line(environment):
    done = programs.run(arguments("unused", "--distributed", "--coordinator=127.0.0.1:1"), env=environment)
    assert done.returncode == 2 and done.stderr.count("\n") == 1 and "--coordinator" in done.stderr
