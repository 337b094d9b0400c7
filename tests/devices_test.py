"""Any number of devices gives the same results up to rounding, for the steps of every method and for resumed runs."""

import json
import os
import shutil

import programs
import pytest

from cc_jax import registry
from cc_jax.distributed import mesh


@pytest.mark.slow
def test_a_step_does_not_know_the_number_of_devices(environment):
    """Compares all parts of the state and the metrics of every method; see on_devices.py."""
    done = programs.run(["-m", "on_devices"], env={**environment, **mesh.fake_devices(4)})
    assert done.returncode == 0, done.stderr
    distances = json.loads(done.stdout.splitlines()[-1])
    assert {stage.split(".")[0] for stage in distances} == set(registry.names("methods")) - {"se_cycle_gan"}
    for stage, by in distances.items():
        assert sorted(by) == ["4"]
        for number, parts in by.items():
            assert "params counter" in parts and "mean loss" in parts
            wrong = {part: off for part, off in parts.items() if not off < 2e-3}
            assert not wrong, f"{stage} on {number} devices: {wrong}"


def run(workdir, environment, devices: int):
    """Train OURS on so many devices, and return its results and what it printed."""
    command = ["-m", "cc_jax.train", *programs.SMALL_RUN, f"--workdir={workdir}"]
    done = programs.run(command, env={**environment, **mesh.fake_devices(devices)})
    assert done.returncode == 0, done.stderr
    return json.loads((workdir / "results.json").read_text()), done.stdout


@pytest.mark.slow
def test_what_four_devices_saved_one_goes_on_from_and_the_reverse(environment, tmp_path):
    ended = {}
    for first, then in ((1, 4), (4, 1)):
        workdir = tmp_path / str(first)
        ended[first], _ = run(workdir, environment, first)
        shutil.copytree(workdir, again := tmp_path / f"{first} to {then}")
        (again / "results.json").unlink()
        shutil.rmtree(again / "checkpoints" / "8")
        os.remove(again / "manifests" / "8.json")
        rows, said = run(again, environment, then)
        assert "resuming from step 6" in said
        ended[first, then] = rows
    for rows in ended.values():
        assert len(rows) == len(ended[1])
        for row, expected in zip(rows, ended[1], strict=True):
            assert row["mae"] == pytest.approx(expected["mae"], rel=1e-3)
            assert row["interval_width"] == pytest.approx(expected["interval_width"], rel=1e-2)
