"""Make the frozen workdir of the current version, which tests/workdirs_test.py reads with all later versions.

python tests/workdirs/make.py     # writes tests/workdirs/<major.minor>/; run it once, when a minor version is released

OURS with a narrow `tiny` on the few images of tests/workdirs/images, stopped in the middle of its second stage. What this
version then counts lies beside it: expected.json, from the checkpoint and from the end of the resumed run.
"""

import json
import os
import pathlib
import shutil
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[1]))

import cc_jax  # noqa: E402
from cc_jax import Counter  # noqa: E402
from cc_jax.data import preparation  # noqa: E402
from cc_jax.training import loop  # noqa: E402
from configs import default  # noqa: E402

STOP = 5  # steps that the frozen run has done: one of its second stage


def get_config():
    """The config of the frozen run."""
    config = default.get_config()
    config.steps, config.log_every, config.seed = 8, 1, 7
    config.source.dataset = config.target.dataset = "folder/frozen"
    config.source.batch_size = config.target.batch_size = 2
    config.augment.crop = 64
    config.resize.max_side = 160
    config.model.tiny = {"spatial_kernel_size": 0, "width": 0.25, "hidden": 4}
    config.method.ours.teacher, config.method.ours.rounds, config.method.ours.round_share = "rounds", 1, 0.5
    config.optimizer.learning_rate, config.optimizer.warmup_steps = 5e-3, 2
    config.checkpoint.every, config.checkpoint.keep = 1, 1
    return config.lock()


def counts(workdir: pathlib.Path) -> dict[str, list[float]]:
    """{image: [count, low, high]} of the test images."""
    counter = Counter.load(workdir)
    found = {path.name: counter.count(path) for path in sorted((HERE / "images/test").glob("*.jpg"))}
    return {name: [one.count, one.low, one.high] for name, one in found.items()}


def stop_at(checkpoint) -> None:
    """Make training stop after step STOP, as SIGTERM would."""
    save = checkpoint.save

    def save_and_stop(self, step, *args, **kwargs):
        save(self, step, *args, **kwargs)
        if step == STOP:
            raise InterruptedError

    checkpoint.save = save_and_stop


def remove_paths(workdir: pathlib.Path) -> None:
    """Remove the files in which orbax states the path that it wrote to. It does not read them."""
    for path in workdir.glob("checkpoints/**/commit_success.txt"):
        path.unlink()
    for path in workdir.glob("manifests/*.json"):
        manifest = json.loads(path.read_text())
        files = {name: x for name, x in manifest["files"].items() if not name.endswith("commit_success.txt")}
        path.write_text(json.dumps({**manifest, "files": files}))


def main() -> None:
    """Make the workdir."""
    from cc_jax.workdir.checkpoints import Checkpoints

    folder = HERE / cc_jax.__version__.rpartition(".")[0]
    with tempfile.TemporaryDirectory() as temporary:
        data = pathlib.Path(temporary, "data")
        os.environ["TFDS_DATA_DIR"] = str(data)
        preparation.prepare("folder/frozen", HERE / "images", data)
        save = Checkpoints.save
        stop_at(Checkpoints)
        try:
            loop.train_and_adapt(get_config(), folder / "workdir")
        except InterruptedError:
            Checkpoints.save = save
        remove_paths(folder / "workdir")
        shutil.copytree(folder / "workdir", resumed := pathlib.Path(temporary, "resumed"))
        rows = loop.train_and_adapt(get_config(), resumed)
        expected = {
            "stopped": counts(folder / "workdir"),
            "finished": counts(resumed),
            "mae": rows[-1]["mae"],
        }
    (folder / "expected.json").write_text(json.dumps(expected, indent=1) + "\n")
    (folder / "workdir/.train.lock").unlink()


if __name__ == "__main__":
    main()
