"""Strict readers of label files: each returns head points (x, y), or raises a one-line error that names the file."""

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
NO_POINTS = np.zeros((0, 2), np.float32)


def read_mat(path: pathlib.Path, keys: Sequence[str] = ("annPoints", "points")) -> Points:
    """Read points (x, y) from a .mat file of any version.

    Args:
      path: The label file.
      keys: Names that the array of points may have, if the file has no ShanghaiTech-style `image_info.location`.

    Raises:
      InputError: The file is missing, damaged, or contains no such array.
    """
    content = matlab.read(path)
    if "image_info" in content:
        location = matlab.find(content["image_info"], "location")
        if location is None:
            raise InputError(f"{path}: its image_info has another layout than ShanghaiTech's")
        return _points(location, path)
    for key in keys:
        if key in content:
            return _points(content[key], path)
    raise InputError(
        f"{path}: contains no {_or('image_info', *keys)}; it contains {', '.join(content) or 'nothing'}"
    )


def read_number(path: pathlib.Path) -> int | None:
    """Return the count that ShanghaiTech's .mat files state beside the points, or None if there is none."""
    number = matlab.find(matlab.read(path).get("image_info"), "number")
    return None if np.size(number) != 1 or number is None else int(np.ravel(number)[0])


def read_polygon(path: pathlib.Path) -> Points:
    """Read the corners (x, y) of the region of interest from WorldExpo'10's roi.mat.

    In MATLAB the center of the first pixel is 1. Here pixel i covers [i, i + 1), so 0.5 is subtracted.

    Raises:
      InputError: The file is missing or damaged, or there are fewer than three corners.
    """
    content = matlab.read(path)
    names = ("maskVerticesXCoordinates", "maskVerticesYCoordinates")
    if not set(names) <= set(content):
        raise InputError(f"{path}: contains no {_or(*names)}; it contains {', '.join(content) or 'nothing'}")
    x, y = (np.ravel(content[name]) for name in names)
    if len(x) != len(y) or len(x) < 3:
        raise InputError(f"{path}: {len(x)} x and {len(y)} y are not the corners of a polygon")
    return _points(np.stack([x, y], 1) - 0.5, path)


def read_text(path: pathlib.Path, columns: int = 2) -> Points:
    """Read lines `x y`, separated by blanks or a comma. Empty lines are skipped.

    Args:
      path: The label file.
      columns: How many numbers a line has. Those after x and y are ignored.

    Raises:
      InputError: Names the line that is wrong.
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
    """Return the words of every line that is not empty.

    Raises:
      InputError: The file cannot be read.
    """
    return [words for line in _text(path).splitlines() if (words := line.split())]


def read_json(path: pathlib.Path) -> Points:
    """Read [[x, y], ...] or {"points": [[x, y], ...]}.

    Raises:
      InputError: The file is not valid JSON, or contains something else.
    """
    try:
        content = json.loads(_text(path))
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: is not valid JSON ({error})") from error
    if isinstance(content, dict):
        content = content.get("points")
    if not isinstance(content, list):
        raise InputError(
            f'{path}: contains no list of points; write [[x, y], ...] or {{"points": [[x, y], ...]}}'
        )
    return _points(content, path)


def read_csv(path: pathlib.Path) -> dict[str, Points]:
    """Read a table with the columns image, x, y and one row per head.

    `image` is the path below the folder of the table. A row with an empty x and y states that the image shows nobody.

    Returns:
      The points of each image.

    Raises:
      InputError: Names the line that is wrong.
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
    """Return a CRC-32 of the points, rounded to tenths of a pixel and in the file's order, as 8 hexadecimal digits."""
    return f"{zlib.crc32(np.rint(np.asarray(points, np.float64) * 10).astype('<i4').tobytes()):08x}"


READERS = {".json": read_json, ".txt": read_text, ".mat": read_mat}


def _points(rows, path: pathlib.Path) -> Points:
    """Return the rows as float32 [N, 2].

    Raises:
      InputError: They have another shape, or a coordinate is not a finite number.
    """
    try:
        points = np.asarray(rows, np.float32)
    except (TypeError, ValueError) as error:
        raise InputError(f"{path}: its points are not rows of two numbers") from error
    if points.size == 0:
        return NO_POINTS
    if points.ndim != 2 or points.shape[1] != 2:
        raise InputError(f"{path}: its points have the shape {list(points.shape)}, not [N, 2]")
    if not np.isfinite(points).all():
        raise InputError(
            f"{path}: point {int(np.argmin(np.isfinite(points).all(axis=1))) + 1} is not a finite number"
        )
    return points


def _text(path: pathlib.Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: is not a text file") from error


def _or(*names: str) -> str:
    """Join names: "a", "a or b", "a, b or c"."""
    return " or ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)
