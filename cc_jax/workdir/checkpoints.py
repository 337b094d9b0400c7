"""Checkpoints: written and read by orbax, and each with a manifest of digests.

Orbax restores a file with a flipped bit without an error. The manifest is written last and makes its step valid, so that a
damaged or unfinished step is never used.
"""

import hashlib
import json
import os
import pathlib
import sys
from collections.abc import Callable
from typing import Any

import jax
import orbax.checkpoint as ocp

from cc_jax.data.files import write_atomic
from cc_jax.errors import CheckpointError
from cc_jax.workdir.layout import Layout

# {"counter": what counting needs, "training": what resuming needs besides}, trees of arrays.
Items = dict[str, dict]


def _print_to_stderr(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


class Checkpoints:
    """The checkpoints of one workdir.

    Args:
      workdir: any path. It is made absolute, because orbax fails in a background thread on a relative one.
      keep: how many of the newest steps to keep.
      datasets: {name: fingerprint} of the data that the run trains on; saved with every step.
      say: prints a line for a person.
    """

    def __init__(
        self, workdir: str | os.PathLike, *, keep: int = 2, datasets: dict[str, str] | None = None,
        say: Callable[[str], None] = _print_to_stderr,
    ):  # fmt: skip
        self.layout = Layout(pathlib.Path(workdir).absolute())
        self._keep = keep
        self._datasets = datasets or {}
        self._say = say
        self._manager: ocp.CheckpointManager | None = None

    def latest(self) -> int | None:
        """Return the newest valid step, or None if there is no checkpoint.

        A newer step that is damaged is reported and left where it is.

        Raises:
          CheckpointError: there are checkpoints, and all of them are damaged.
        """
        steps = sorted(
            (int(path.stem) for path in self.layout.manifests.glob("*.json") if path.stem.isdigit()),
            reverse=True,
        )
        for step in steps:
            problem = self._problem(step)
            if problem is None:
                return step
            self._say(f"checkpoint {self._folder(step)} is damaged ({problem}); trying an older one")
        if steps:
            raise CheckpointError(
                f"every checkpoint in {self.layout.checkpoints} is damaged: restore the folder from a copy, "
                "or train again in a new workdir"
            )
        return None

    def restore(self, step: int, abstract: Items) -> Items:
        """Return the items of `step`.

        Args:
          step: a valid step.
          abstract: the items to restore, as trees of jax.ShapeDtypeStruct with shardings.

        Raises:
          CheckpointError: names, shapes or types differ from the saved ones. Orbax would cast, or fail obscurely.
        """
        saved = self._manifest(step)["arrays"]
        flat = {item: _flatten(tree) for item, tree in abstract.items()}
        for item, leaves in flat.items():
            _check_fits(saved[item], _shapes(leaves), str(self._folder(step)))
        args = {item: ocp.args.StandardRestore(leaves) for item, leaves in flat.items()}
        restored = self._orbax().restore(step, args=ocp.args.Composite(**args))
        return {item: _unflatten(restored[item], tree) for item, tree in abstract.items()}

    def stage(self, step: int) -> str:
        """Return the name of the stage in which `step` was saved."""
        return self._manifest(step)["stage"]

    def counted(self, step: int) -> int:
        """Return how many of the steps up to `step` trained the counter.

        All of them, if the manifest does not say: it is older than the methods that also train other networks.
        """
        return self._manifest(step).get("counted", step)

    def check_datasets(self, step: int) -> None:
        """Raise CheckpointError if `step` was trained on other data than `datasets`."""
        saved = self._manifest(step)["datasets"]
        changed = [name for name in self._datasets if self._datasets[name] != saved.get(name)]
        if changed:
            raise CheckpointError(
                f"{self.layout.root} was trained on another copy of {', '.join(changed)}: prepare that copy again, train "
                "in a new workdir, or continue with this copy by --config.checkpoint.any_data=True"
            )

    def save(self, step: int, items: Items, *, stage: str, counted: int) -> None:
        """Save `items` as `step`, and return when the files and the manifest are on the disk.

        Args:
          step: steps done.
          items: trees of arrays.
          stage: the name of the current stage.
          counted: how many of the steps trained the counter.
        """
        self._set_aside(step)
        flat = {item: _flatten(tree) for item, tree in items.items()}
        args = {item: ocp.args.StandardSave(leaves) for item, leaves in flat.items()}
        manager = self._orbax()
        saved = manager.save(step, args=ocp.args.Composite(**args), force=True)
        manager.wait_until_finished()
        if not saved or not self._folder(step).is_dir():
            raise CheckpointError(
                f"could not save step {step} in {self.layout.checkpoints}: is the disk full or read-only?"
            )
        if jax.process_index() == 0:
            manifest = {
                "stage": stage,
                "counted": counted,
                "datasets": self._datasets,
                "arrays": {item: _shapes(leaves) for item, leaves in flat.items()},
                "files": _digests(self._folder(step)),
            }
            write_atomic(self.layout.manifest(step), json.dumps(manifest))
            for path in self.layout.manifests.glob("*.json"):
                if not (self.layout.checkpoints / path.stem).is_dir():
                    path.unlink()

    def close(self) -> None:
        """End orbax's threads."""
        if self._manager is not None:
            self._manager.close()
            self._manager = None

    def _folder(self, step: int) -> pathlib.Path:
        return self.layout.checkpoints / str(step)

    def _manifest(self, step: int) -> dict[str, Any]:
        return json.loads(self.layout.manifest(step).read_text())

    def _orbax(self) -> ocp.CheckpointManager:
        if self._manager is None:
            options = ocp.CheckpointManagerOptions(
                max_to_keep=self._keep, create=True, enable_async_checkpointing=False
            )
            self._manager = ocp.CheckpointManager(self.layout.checkpoints, options=options)
        return self._manager

    def _problem(self, step: int) -> str | None:
        """What is wrong with the files of a step, or None."""
        try:
            expected = self._manifest(step)["files"]
        except (ValueError, KeyError):
            return "its manifest cannot be read"
        found = _digests(self._folder(step))
        for name in sorted({*expected, *found}):
            if name not in found:
                return f"{name} is missing"
            if name not in expected:
                return f"{name} is unexpected"
            if expected[name] != found[name]:
                return f"{name} has changed"
        return None

    def _set_aside(self, step: int) -> None:
        """Move away the folders of `step` and of later steps, damaged or unfinished. Orbax would not save before them."""
        stale = [p for p in self.layout.checkpoints.glob("*") if p.name.isdigit() and int(p.name) >= step]
        if not stale:
            return
        self.close()
        self.layout.set_aside.mkdir(exist_ok=True)
        for path in stale:
            self.layout.manifest(int(path.name)).unlink(missing_ok=True)
            number = sum(other.name.startswith(f"{path.name}-") for other in self.layout.set_aside.iterdir())
            path.rename(self.layout.set_aside / f"{path.name}-{number}")


def _digests(folder: pathlib.Path) -> dict[str, str]:
    """{relative path: sha256} of every file below the folder."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def _flatten(tree) -> dict[str, Any]:
    return {jax.tree_util.keystr(path): leaf for path, leaf in jax.tree_util.tree_leaves_with_path(tree)}


def _unflatten(leaves: dict[str, Any], like):
    return jax.tree_util.tree_map_with_path(lambda path, _: leaves[jax.tree_util.keystr(path)], like)


def _shapes(leaves: dict[str, Any]) -> dict[str, str]:
    return {name: f"{leaf.dtype}{list(leaf.shape)}" for name, leaf in leaves.items()}


def _check_fits(saved: dict[str, str], wanted: dict[str, str], where: str) -> None:
    for name in sorted({*saved, *wanted}):
        if saved.get(name) != wanted.get(name):
            raise CheckpointError(
                f"{where} does not fit the model: {name} is {saved.get(name, 'absent')} in the checkpoint and "
                f"{wanted.get(name, 'absent')} in the model; was config.json changed by hand?"
            )
