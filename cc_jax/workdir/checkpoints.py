"""Checkpoints through orbax, each with a manifest of digests: orbax restores a flipped bit without a word.

`workdir/checkpoints/<step>/{counter,training}` are orbax's; `workdir/manifests/<step>.json` is written last and
makes the step valid. `counter` is what counting needs, `training` what going on needs besides.
"""

import hashlib
import json
import os
import pathlib
import sys
from collections.abc import Callable

import jax
import orbax.checkpoint as ocp

from cc_jax.data.files import write_atomic
from cc_jax.errors import CheckpointError

Items = dict[str, dict]  # {"counter": tree, "training": tree}


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


class Checkpoints:
    """The checkpoints of one workdir.

    Args:
      workdir: any path; made absolute, since orbax fails in the background on a relative one.
      keep: how many of the newest steps to keep.
      datasets: {name: fingerprint} of what is trained on; saved with every step.
    """

    def __init__(
        self, workdir: str | os.PathLike, *, keep: int = 2, datasets: dict[str, str] | None = None,
        say: Callable[[str], None] = _say,
    ):  # fmt: skip
        self.workdir = pathlib.Path(workdir).absolute()
        self.folder = self.workdir / "checkpoints"
        self.manifests = self.workdir / "manifests"
        self.keep = keep
        self.datasets = datasets or {}
        self.say = say
        self._manager = None

    def latest(self) -> int | None:
        """The newest step that is whole; newer damaged ones are named and left where they are. None: no checkpoint.

        Raises CheckpointError when there are checkpoints and every one of them is damaged.
        """
        steps = sorted((int(p.stem) for p in self.manifests.glob("*.json") if p.stem.isdigit()), reverse=True)
        for step in steps:
            problem = self._problem(step)
            if problem is None:
                return step
            self.say(f"checkpoint {self.folder / str(step)} is damaged ({problem}); trying an older one")
        if steps:
            raise CheckpointError(
                f"every checkpoint in {self.folder} is damaged: restore the folder from a copy, "
                "or train again in a new workdir"
            )
        return None

    def restore(self, step: int, abstract: Items) -> Items:
        """The items of `abstract` (trees of jax.ShapeDtypeStruct, with shardings) as saved at `step`.

        Raises CheckpointError when names, shapes or types differ: orbax would cast or fail obscurely.
        """
        saved = json.loads((self.manifests / f"{step}.json").read_text())["arrays"]
        flat = {item: _flatten(tree) for item, tree in abstract.items()}
        for item, leaves in flat.items():
            _check_fits(saved[item], _shapes(leaves), f"{self.folder / str(step)}")
        args = {item: ocp.args.StandardRestore(leaves) for item, leaves in flat.items()}
        restored = self._orbax().restore(step, args=ocp.args.Composite(**args))
        return {item: _unflatten(restored[item], tree) for item, tree in abstract.items()}

    def stage(self, step: int) -> str:
        """The stage that `step` was saved in."""
        return json.loads((self.manifests / f"{step}.json").read_text())["stage"]

    def check_datasets(self, step: int) -> None:
        """Raises CheckpointError when `step` was trained on other data than `datasets`."""
        saved = json.loads((self.manifests / f"{step}.json").read_text())["datasets"]
        changed = [name for name in self.datasets if self.datasets[name] != saved.get(name)]
        if changed:
            raise CheckpointError(
                f"{self.workdir} was trained on another copy of {', '.join(changed)}: prepare that one again, train in "
                "a new workdir, or go on with this one by --config.checkpoint.any_data=True"
            )

    def counted(self, step: int) -> int:
        """How many steps up to `step` trained the counter; all of them where the manifest is from before others did."""
        return json.loads((self.manifests / f"{step}.json").read_text()).get("counted", step)

    def save(self, step: int, items: Items, *, stage: str, counted: int) -> None:
        """Saves and waits: when this returns, the step is on the disk with its manifest."""
        self._set_aside(step)
        flat = {item: _flatten(tree) for item, tree in items.items()}
        args = {item: ocp.args.StandardSave(leaves) for item, leaves in flat.items()}
        manager = self._orbax()
        saved = manager.save(step, args=ocp.args.Composite(**args), force=True)
        manager.wait_until_finished()
        if not saved or not (self.folder / str(step)).is_dir():
            raise CheckpointError(
                f"could not save step {step} under {self.folder}: is the disk full or read-only?"
            )
        if jax.process_index() == 0:
            manifest = {
                "stage": stage,
                "counted": counted,
                "datasets": self.datasets,
                "arrays": {item: _shapes(leaves) for item, leaves in flat.items()},
                "files": _digests(self.folder / str(step)),
            }
            write_atomic(self.manifests / f"{step}.json", json.dumps(manifest))
            for path in self.manifests.glob("*.json"):
                if not (self.folder / path.stem).is_dir():
                    path.unlink()

    def _orbax(self) -> ocp.CheckpointManager:
        if self._manager is None:
            options = ocp.CheckpointManagerOptions(
                max_to_keep=self.keep, create=True, enable_async_checkpointing=False
            )
            self._manager = ocp.CheckpointManager(self.folder, options=options)
        return self._manager

    def close(self) -> None:
        """Ends orbax's threads."""
        if self._manager is not None:
            self._manager.close()

    def _problem(self, step: int) -> str | None:
        """What is wrong with a step's files, or None."""
        try:
            expected = json.loads((self.manifests / f"{step}.json").read_text())["files"]
        except (ValueError, KeyError):
            return "its manifest cannot be read"
        found = _digests(self.folder / str(step))
        for name in sorted({*expected, *found}):
            if expected.get(name) != found.get(name):
                state = (
                    "is missing"
                    if name not in found
                    else "is unexpected"
                    if name not in expected
                    else "has changed"
                )
                return f"{name} {state}"
        return None

    def _set_aside(self, step: int) -> None:
        """Moves away steps not older than the one to be saved: damaged, or left half by a kill. Orbax would skip ours."""
        stale = [p for p in self.folder.glob("*") if p.name.isdigit() and int(p.name) >= step]
        if not stale:
            return
        self.close()
        self._manager = None
        aside = self.workdir / "checkpoints-set-aside"
        aside.mkdir(exist_ok=True)
        for path in stale:
            (self.manifests / f"{path.name}.json").unlink(missing_ok=True)
            number = sum(p.name.startswith(f"{path.name}-") for p in aside.iterdir())
            path.rename(aside / f"{path.name}-{number}")


def _digests(folder: pathlib.Path) -> dict[str, str]:
    """sha256 of every file below the folder."""
    files = sorted(p for p in folder.rglob("*") if p.is_file())
    return {str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


def _flatten(tree) -> dict[str, jax.Array]:
    return {jax.tree_util.keystr(path): leaf for path, leaf in jax.tree_util.tree_leaves_with_path(tree)}


def _unflatten(leaves: dict[str, jax.Array], like):
    return jax.tree_util.tree_map_with_path(lambda path, _: leaves[jax.tree_util.keystr(path)], like)


def _shapes(leaves: dict[str, jax.Array]) -> dict[str, str]:
    return {name: f"{leaf.dtype}{list(leaf.shape)}" for name, leaf in leaves.items()}


def _check_fits(saved: dict[str, str], wanted: dict[str, str], where: str) -> None:
    for name in sorted({*saved, *wanted}):
        if saved.get(name) != wanted.get(name):
            raise CheckpointError(
                f"{where} does not fit the model: {name} is {saved.get(name, 'absent')} in the checkpoint and "
                f"{wanted.get(name, 'absent')} in the model; was config.json changed by hand?"
            )
