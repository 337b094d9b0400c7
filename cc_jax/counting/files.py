"""From image files and videos to counts.csv, counts.json and overlays: what `cc_jax.predict` does."""

import csv
import dataclasses
import io
import json
import pathlib
import sys
from collections.abc import Callable, Iterable, Iterator

import numpy as np
import tqdm

from cc_jax.data import images, video
from cc_jax.data.files import write_atomic
from cc_jax.errors import ConfigError, InputError
from cc_jax.report import overlays

COLUMNS = ("id", "count", "low", "high", "std", "warnings")


@dataclasses.dataclass(frozen=True)
class Item:
    """One image to count.

    Attributes:
      id: the path below the input folder; for a frame with the time: `clip.mp4@12.000s`.
      overlay: the same as a path for its overlay, without a suffix.
      image: uint8 [H, W, 3] RGB, or why it cannot be read.
    """

    id: str
    overlay: str
    image: np.ndarray | InputError


def predict(
    counter,
    items: Iterable[Item],
    output: pathlib.Path,
    *,
    with_overlays: bool = True,
    about: dict | None = None,
    progress: Callable[[Iterable[Item]], Iterable[Item]] = iter,
) -> list[dict]:
    """Counts the items and writes counts.csv (a whole row at a time), counts.json and overlays/ below `output`.

    Args:
      counter: has `count(rgb) -> Count` and `interval_level`.
      items: what to count.
      output: is made where absent; files of an earlier call are replaced.
      with_overlays: whether to write the overlays.
      about: further fields of counts.json.
      progress: wraps `items`.

    Returns the unreadable items as {"id", "reason"}.
    """
    rows: list[dict] = []
    unreadable: list[dict] = []
    taken: set[str] = set()
    output.mkdir(parents=True, exist_ok=True)
    with open(output / "counts.csv", "w", newline="") as file:
        _write(file, COLUMNS)
        for item in progress(items):
            try:
                row, picture = _count(counter, item, with_overlays)
            except InputError as error:
                unreadable.append({"id": item.id, "reason": str(error)})
                _say(f"cc_jax.predict: {error}", sys.stderr)
                continue
            if picture is not None:
                _write_overlay(output / "overlays" / f"{free_name(item, taken)}.jpg", picture)
            rows.append(row)
            _write(file, [*(row[name] for name in COLUMNS[:-1]), "; ".join(row["warnings"])])
            _say_unless_bar(f"{item.id}: {interval_text(row)}")
    result = {
        **(about or {}),
        "interval_level": counter.interval_level,
        "counts": rows,
        "unreadable": unreadable,
    }
    write_atomic(output / "counts.json", json.dumps(result, indent=1))
    failed = f"; {len(unreadable)} could not be read" if unreadable else ""
    _say(f"counted {len(rows)} images{failed}; see {output / 'counts.csv'}", sys.stdout)
    return unreadable


def find(source: pathlib.Path, output: pathlib.Path) -> list[pathlib.Path]:
    """The image files that `source` names, then the videos; those below `output` are left out.

    Raises ConfigError when there is no such path or a folder without any.
    """
    if source.is_file():
        return [source]
    if not source.is_dir():
        raise ConfigError(f"--input={source}: there is no such file or folder")
    ours = _own_results(source, output)
    files = [path for path in images.list_images(source) + video.list_videos(source) if not ours(path)]
    if not files:
        suffixes = ", ".join((*images.IMAGE_SUFFIXES, *video.VIDEO_SUFFIXES))
        raise ConfigError(f"--input={source}: the folder holds no image or video ({suffixes})")
    return files


def read(paths: Iterable[pathlib.Path], root: pathlib.Path, every_s: float) -> Iterator[Item]:
    """The images and the videos' frames, one after the other; ids are paths below `root`."""
    for path in paths:
        name = path.relative_to(root).as_posix()
        if video.is_video(path):
            yield from _read_video(path, name, every_s)
        else:
            yield _read_image(path, name)


def sizes(paths: Iterable[pathlib.Path]) -> list[tuple[int, int]]:
    """(height, width) of the images that can be read."""
    found = []
    for path in paths:
        if not video.is_video(path):
            try:
                found.append(images.read_size(path))
            except InputError:
                continue  # named when its turn comes
    return found


def interval_text(row: dict) -> str:
    """`398 (350-446)`, in letters that OpenCV can draw."""
    return f"{row['count']:.0f} ({row['low']:.0f}-{row['high']:.0f})"


def free_name(item: Item, taken: set[str]) -> str:
    """A name for the overlay that no other has, even where case does not count: a.png and a.jpg, both."""
    candidates = [item.overlay, item.id, *(f"{item.id}-{i}" for i in range(2, len(taken) + 3))]
    name = next(name for name in candidates if name.casefold() not in taken)
    taken.add(name.casefold())
    return name


def _read_image(path: pathlib.Path, name: str) -> Item:
    overlay = str(pathlib.PurePosixPath(name).with_suffix(""))
    try:
        return Item(name, overlay, images.read_image(path))
    except InputError as error:
        return Item(name, overlay, error)


def _read_video(path: pathlib.Path, name: str, every_s: float) -> Iterator[Item]:
    try:
        for frame in video.frames(path, every_s=every_s):
            at = f"{name}@{frame.seconds:.3f}s"
            yield Item(at, at, frame.image)
    except InputError as error:
        yield Item(name, name, error)


def _count(counter, item: Item, with_overlay: bool) -> tuple[dict, np.ndarray | None]:
    if isinstance(item.image, InputError):
        raise item.image
    found = counter.count(item.image)
    numbers = {name: float(getattr(found, name)) for name in ("count", "low", "high", "std")}
    row = {
        "id": item.id,
        **numbers,
        "untrusted_share": found.untrusted_share,
        "warnings": list(found.warnings),
    }
    if not with_overlay:
        return row, None
    return row, overlays.overlay(item.image, found.density, interval_text(row), found.untrusted)


def _write_overlay(path: pathlib.Path, picture: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    images.write_image(path, picture, quality=90)


def _write(file, values: Iterable) -> None:
    """One row in one write, so that a kill does not leave half of it."""
    line = io.StringIO()
    csv.writer(line, lineterminator="\n").writerow(values)
    file.write(line.getvalue())
    file.flush()


def _own_results(source: pathlib.Path, output: pathlib.Path) -> Callable[[pathlib.Path], bool]:
    """Tells the results of an earlier call, where `output` lies inside `source`."""
    ours = [output.resolve() / "overlays"] if output.resolve() == source.resolve() else [output.resolve()]
    return lambda path: any(folder in path.resolve().parents for folder in ours)


def bar(items: Iterable[Item]) -> Iterable[Item]:
    """A bar on a terminal. How many frames a video holds is not known before: no total."""
    return tqdm.tqdm(items, desc="counting", unit=" images") if sys.stderr.isatty() else items


def _say(line: str, stream) -> None:
    tqdm.tqdm.write(line, file=stream)
    stream.flush()


def _say_unless_bar(line: str) -> None:
    if not sys.stderr.isatty():
        _say(line, sys.stdout)
