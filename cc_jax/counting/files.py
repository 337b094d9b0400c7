"""Count image files and videos, and write counts.csv, counts.json and overlays: the work of `cc_jax.predict`."""

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
from cc_jax.data.progress import progress_bar
from cc_jax.errors import ConfigError, InputError
from cc_jax.report import overlays

COLUMNS = ("id", "count", "low", "high", "interval_kind", "std", "p_typical", "warnings")


@dataclasses.dataclass(frozen=True)
class Item:
    """An image to count.

    Attributes:
      id: the path below the input folder, for a video's frame with its time: `clip.mp4@12.000s`.
      overlay: the path of its overlay below the folder of overlays, without a suffix.
      image: uint8 [H, W, 3] RGB, or the error that says why it cannot be read.
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
    member_intervals: bool = False,
    about: dict | None = None,
    program: str = "cc_jax.predict",
    progress: Callable[[Iterable[Item]], Iterable[Item]] = iter,
) -> list[dict]:
    """Count the items and write counts.csv, counts.json and overlays/ into `output`.

    Args:
      counter: a `Counter`, or anything with `count(rgb) -> Count` and `interval_level`.
      items: what to count.
      output: is created if necessary; files of an earlier call are replaced.
      with_overlays: whether to write overlays.
      member_intervals: whether intervals of the kind "members" are printed and drawn. They promise nothing. The files have
        them in any case, under this name.
      about: more fields for counts.json.
      program: the name before each message on standard error.
      progress: wraps `items`, for a progress bar.

    Returns the unreadable items as {"id", "reason"}.
    """

    def says(row: dict) -> str:
        return interval_text(row, shown=member_intervals or row["interval_kind"] != "members")

    rows: list[dict] = []
    unreadable: list[dict] = []
    taken: set[str] = set()
    output.mkdir(parents=True, exist_ok=True)
    with open(output / "counts.csv", "w", newline="") as file:
        _write_row(file, COLUMNS)
        for item in progress(items):
            try:
                row, picture = _count(counter, item, says if with_overlays else None)
            except InputError as error:
                unreadable.append({"id": item.id, "reason": str(error)})
                _print(f"{program}: {error}", sys.stderr)
                continue
            if picture is not None:
                _write_overlay(output / "overlays" / f"{free_name(item, taken)}.jpg", picture)
            rows.append(row)
            _write_row(file, [*(row[name] for name in COLUMNS[:-1]), "; ".join(row["warnings"])])
            if not sys.stderr.isatty():  # a terminal shows the progress bar instead
                _print(f"{item.id}: {says(row)}", sys.stdout)
    result = {
        **(about or {}),
        "interval_level": counter.interval_level,
        "counts": rows,
        "unreadable": unreadable,
    }
    write_atomic(output / "counts.json", json.dumps(result, indent=1))
    failed = f"; {len(unreadable)} could not be read" if unreadable else ""
    _print(f"counted {len(rows)} images{failed}; see {output / 'counts.csv'}", sys.stdout)
    return unreadable


def find(source: pathlib.Path, output: pathlib.Path) -> list[pathlib.Path]:
    """Return the image files that `source` names, then the videos. Files of earlier results in `output` are left out.

    Raises ConfigError if there is no such path, or the folder has no image or video.
    """
    if source.is_file():
        return [source]
    if not source.is_dir():
        raise ConfigError(f"--input={source}: no such file or folder")
    is_result = _result_filter(source, output)
    files = [path for path in images.list_images(source) + video.list_videos(source) if not is_result(path)]
    if not files:
        suffixes = ", ".join((*images.IMAGE_SUFFIXES, *video.VIDEO_SUFFIXES))
        raise ConfigError(f"--input={source}: the folder has no image or video ({suffixes})")
    return files


def read(paths: Iterable[pathlib.Path], root: pathlib.Path, every_s: float) -> Iterator[Item]:
    """Yield the images and the frames of videos (one every `every_s` seconds); ids are paths below `root`."""
    for path in paths:
        name = path.relative_to(root).as_posix()
        if video.is_video(path):
            yield from _read_video(path, name, every_s)
        else:
            yield _read_image(path, name)


def sizes(paths: Iterable[pathlib.Path]) -> list[tuple[int, int]]:
    """Return (height, width) of the images that can be read; videos are left out."""
    found = []
    for path in paths:
        if not video.is_video(path):
            try:
                found.append(images.read_size(path))
            except InputError:
                continue  # `predict` reports it
    return found


def interval_text(row: dict, *, shown: bool = True) -> str:
    """Return `398 (350-446, counts)`, `398 (no interval)`, or either with `, unusual image`.

    In ASCII, because OpenCV draws nothing else.
    """
    interval = f"{row['low']:.0f}-{row['high']:.0f}, {row['interval_kind']}" if shown else "no interval"
    return f"{row['count']:.0f} ({interval}){', unusual image' if row['unusual'] else ''}"


def free_name(item: Item, taken: set[str]) -> str:
    """Return an overlay name that is not in `taken`, and add it.

    Images such as a.png and A.jpg get different names even on file systems that ignore case.
    """
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


def _count(counter, item: Item, says: Callable[[dict], str] | None) -> tuple[dict, np.ndarray | None]:
    """Return the row of an item and its overlay, which has the text that `says` makes of the row; none without `says`."""
    if isinstance(item.image, InputError):
        raise item.image
    found = counter.count(item.image)
    numbers = {name: float(getattr(found, name)) for name in ("count", "low", "high", "std")}
    row = {
        "id": item.id,
        **numbers,
        "interval_kind": found.interval_kind,
        "untrusted_share": found.untrusted_share,
        "p_typical": found.p_typical,
        "unusual": found.unusual,
        "warnings": list(found.warnings),
    }
    if says is None:
        return row, None
    return row, overlays.overlay(item.image, found.density, says(row), found.untrusted)


def _write_overlay(path: pathlib.Path, picture: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    images.write_image(path, picture, quality=90)


def _write_row(file, values: Iterable) -> None:
    """Write a row in a single write, so that a killed process does not leave half of it."""
    line = io.StringIO()
    csv.writer(line, lineterminator="\n").writerow(values)
    file.write(line.getvalue())
    file.flush()


def _result_filter(source: pathlib.Path, output: pathlib.Path) -> Callable[[pathlib.Path], bool]:
    """Return a function that tells whether a file is a result of an earlier call, in case `output` is in `source`."""
    folder = output.resolve() / "overlays" if output.resolve() == source.resolve() else output.resolve()
    return lambda path: folder in path.resolve().parents


def counting_bar(items: Iterable[Item]) -> Iterator[Item]:
    """Iterate over `items` with a progress bar, without a total: the number of a video's frames is not known."""
    return progress_bar(items, "counting", unit=" images")


def _print(line: str, stream) -> None:
    """Print a line without breaking a progress bar."""
    tqdm.tqdm.write(line, file=stream)
    stream.flush()
