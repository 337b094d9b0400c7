"""Label files of other people's making, read strictly: head points (x, y) or one line that says what is wrong."""

import csv
import json
import pathlib
import zlib
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float32

from cc_jax.data.builders import matlab
from cc_jax.errors import InputError

Points = Float32[np.ndarray, "N 2"]
NOBODY = np.zeros((0, 2), np.float32)


def read_mat(path: pathlib.Path, keys: Sequence[str] = ("annPoints", "points")) -> Points:
    """`image_info.location`, or an array of one of the names `keys`, of (x, y) rows, from a .mat of any version.

    Raises InputError naming the file if it is missing, damaged, or holds no such array.
    """
    content = matlab.read(path)
    if "image_info" in content:
        location = matlab.find(content["image_info"], "location")
        if location is None:
            raise InputError(f"{path}: its image_info is not laid out as ShanghaiTech's is")
        return _points(location, path)
    for key in keys:
        if key in content:
            return _points(content[key], path)
    held = ", ".join(content) or "nothing"
    raise InputError(f"{path}: has no {_or('image_info', *keys)}; it holds {held}")


def read_number(path: pathlib.Path) -> int | None:
    """The count that ShanghaiTech's .mat states beside its points, None if it states none."""
    number = matlab.find(matlab.read(path).get("image_info"), "number")
    return None if np.size(number) != 1 or number is None else int(np.ravel(number)[0])


def read_polygon(path: pathlib.Path) -> Points:
    """The corners (x, y) of the region that counts, of WorldExpo'10's roi.mat.

    MATLAB counts pixels from 1 at their centres; here pixel i covers [i, i + 1), so 0.5 is taken off.
    Raises InputError if there are fewer than three corners.
    """
    content = matlab.read(path)
    names = ("maskVerticesXCoordinates", "maskVerticesYCoordinates")
    if not set(names) <= set(content):
        raise InputError(f"{path}: has no {_or(*names)}; it holds {', '.join(content) or 'nothing'}")
    x, y = (np.ravel(content[name]) for name in names)
    if len(x) != len(y) or len(x) < 3:
        raise InputError(f"{path}: {len(x)} x and {len(y)} y are not the corners of a polygon")
    return _points(np.stack([x, y], 1) - 0.5, path)


def read_text(path: pathlib.Path, columns: int = 2) -> Points:
    """Lines `x y`, with blanks or a comma between; empty lines are skipped. Raises InputError naming the line.

    `columns`: how many numbers a line holds; those after x and y are left out.
    """
    rows = []
    for number, line in enumerate(_text(path).splitlines(), 1):
        words = line.replace(",", " ").split()
        if not words:
            continue
        try:
            x, y, *_ = map(float, words)
        except ValueError as error:
            raise InputError(f"{path}: line {number} is {line[:40]!r}, not numbers x y") from error
        if len(words) != columns:
            raise InputError(f"{path}: line {number} is {line[:40]!r}, not {columns} numbers, x and y first")
        rows.append((x, y))
    return _points(rows, path)


def read_rows(path: pathlib.Path) -> list[list[str]]:
    """The words of every line that is not empty. Raises InputError."""
    return [words for line in _text(path).splitlines() if (words := line.split())]


def read_json(path: pathlib.Path) -> Points:
    """A list of [x, y], or {"points": that list}. Raises InputError."""
    try:
        content = json.loads(_text(path))
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: is no JSON ({error})") from error
    if isinstance(content, dict):
        content = content.get("points")
    if not isinstance(content, list):
        raise InputError(
            f'{path}: holds no list of points; write [[x, y], ...] or {{"points": [[x, y], ...]}}'
        )
    return _points(content, path)


def read_csv(path: pathlib.Path) -> dict[str, Points]:
    """A table with the columns image, x, y (one row a head) to the points of each image.

    `image` is the path below the folder of the table. A row with x and y left empty says that nobody is there.
    Raises InputError naming the line.
    """
    table = csv.DictReader(_text(path).splitlines())
    if not {"image", "x", "y"} <= set(table.fieldnames or ()):
        raise InputError(f"{path}: its first line must name the columns image,x,y; it is {table.fieldnames}")
    found: dict[str, list] = {}
    for row in table:
        points = found.setdefault(str(row["image"]).strip(), [])
        if (row["x"] or "").strip() or (row["y"] or "").strip():
            try:
                points.append((float(row["x"]), float(row["y"])))
            except (TypeError, ValueError) as error:
                raise InputError(f"{path}: line {table.line_num}: x and y must be numbers") from error
    return {image: _points(points, path) for image, points in found.items()}


def digest(points: Points) -> str:
    """Eight hexadecimal digits that tell labels apart: of the points in tenths of a pixel, in the file's order."""
    return f"{zlib.crc32(np.rint(np.asarray(points, np.float64) * 10).astype('<i4').tobytes()):08x}"


READERS = {".json": read_json, ".txt": read_text, ".mat": read_mat}


def _points(rows, path: pathlib.Path) -> Points:
    """Rows as float32 [N, 2]; InputError for another shape or for what is no number."""
    try:
        points = np.asarray(rows, np.float32)
    except (TypeError, ValueError) as error:
        raise InputError(f"{path}: its points are not rows of two numbers") from error
    if points.size == 0:
        return np.zeros((0, 2), np.float32)
    if points.ndim != 2 or points.shape[1] != 2:
        raise InputError(f"{path}: its points have the shape {list(points.shape)}, not [N, 2]")
    if not np.isfinite(points).all():
        raise InputError(
            f"{path}: point {int(np.argmin(np.isfinite(points).all(axis=1))) + 1} is not a number"
        )
    return points


def _text(path: pathlib.Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: is no text") from error


def _or(*names: str) -> str:
    """`a`, `a or b`, `a, b or c`."""
    return " or ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)
