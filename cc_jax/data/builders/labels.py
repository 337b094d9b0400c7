"""Label files of other people's making, read strictly: head points (x, y) or one line that says what is wrong."""

import csv
import json
import pathlib

import numpy as np
import scipy.io
from jaxtyping import Float32

from cc_jax.errors import InputError

Points = Float32[np.ndarray, "N 2"]


def read_mat(path: pathlib.Path) -> Points:
    """ShanghaiTech's `image_info`, or an array `annPoints` or `points` of (x, y) rows, from an old-style .mat.

    Raises InputError naming the file if it is missing, damaged, MATLAB 7.3, or holds no such array.
    """
    content = _loadmat(path)
    if "image_info" in content:
        return _points(_location(content["image_info"], path), path)
    for key in ("annPoints", "points"):
        if key in content:
            return _points(content[key], path)
    keys = ", ".join(key for key in content if not key.startswith("__")) or "nothing"
    raise InputError(f"{path}: has no image_info, annPoints or points; it holds {keys}")


def read_number(path: pathlib.Path) -> int | None:
    """The count that ShanghaiTech's .mat states beside its points, None if it states none."""
    try:
        return int(_loadmat(path)["image_info"][0, 0][0, 0]["number"].item())
    except (KeyError, IndexError, ValueError, TypeError):
        return None


def read_text(path: pathlib.Path) -> Points:
    """Lines `x y`, with blanks or a comma between; empty lines are skipped. Raises InputError naming the line."""
    rows = []
    for number, line in enumerate(_text(path).splitlines(), 1):
        words = line.replace(",", " ").split()
        if not words:
            continue
        try:
            x, y = map(float, words)
        except ValueError as error:
            raise InputError(f"{path}: line {number} is {line[:40]!r}, not two numbers x y") from error
        rows.append((x, y))
    return _points(rows, path)


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


READERS = {".json": read_json, ".txt": read_text, ".mat": read_mat}


def _loadmat(path: pathlib.Path) -> dict:
    try:
        return scipy.io.loadmat(path)
    except FileNotFoundError as error:
        raise InputError(f"{path}: is missing") from error
    except NotImplementedError as error:
        raise InputError(f"{path}: is a MATLAB 7.3 file; save it with -v7") from error
    except Exception as error:  # SciPy raises a dozen kinds for a damaged file, some of them bare
        raise InputError(f"{path}: is no .mat file or is damaged ({_first_line(error)})") from error


def _location(info: np.ndarray, path: pathlib.Path) -> np.ndarray:
    try:
        return info[0, 0][0, 0][0]
    except (IndexError, TypeError, KeyError) as error:
        raise InputError(f"{path}: its image_info is not laid out as ShanghaiTech's is") from error


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


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:100]
