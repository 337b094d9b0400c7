"""Read the counts that somebody has typed into a spreadsheet: a table with the columns `image` and `count`."""

import codecs
import csv
import io
import math
import pathlib
import re

from cc_jax.errors import InputError

SUFFIXES = (".csv", ".tsv", ".txt")
_COLUMNS = ("image", "count")
_DELIMITERS = ",;\t"
_BOMS = {
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
# 1.234 and 1,234 are a thousand and more in one country, and about one in the other.
_AMBIGUOUS = re.compile(r"[1-9]\d{0,2}([.,])\d{3}(\1\d{3})*")


def read_counts(path: pathlib.Path) -> list[tuple[pathlib.Path, float]]:
    """Return (image, count) of each row of a table that a spreadsheet or an editor has written.

    Read are UTF-8 and UTF-16, cells that are separated by commas, semicolons or tabs, names of columns in any case,
    decimal commas where commas do not separate cells, and further columns. Empty rows count as absent.

    Args:
      path: the file. Its images are named relative to its folder.

    Raises InputError, with the line, if the file is no such table, an image is absent or named twice, or a count is
    not a number of people.
    """
    text = _decoded(path)
    delimiter, lines = _delimiter(path, text), io.StringIO(text, newline="")
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    columns: list[str] = []
    rows: dict[pathlib.Path, tuple[int, pathlib.Path, float]] = {}
    try:
        for cells in reader:
            line, cells = reader.line_num, [cell.strip() for cell in cells]
            if not any(cells) or cells[0].lower().startswith(
                "sep="
            ):  # sep=; tells Excel what separates cells
                continue
            if not columns:
                columns = [cell.lower() for cell in cells]
                continue
            _check_width(path, line, cells, columns)
            image = path.parent / cells[columns.index("image")]
            if not image.is_file():
                raise InputError(f"{path}, line {line}: there is no image {image}")
            file = image.resolve()
            if file in rows:
                raise InputError(
                    f"{path}, line {line}: {image.name} stands in line {rows[file][0]} already; "
                    "a photograph counts once, so remove one of the lines"
                )
            rows[file] = line, image, _people(path, line, cells[columns.index("count")], delimiter)
    except csv.Error as error:
        raise InputError(f"{path}, line {reader.line_num}: is not a CSV file ({error})") from error
    if not rows:
        raise InputError(f"{path}: has no rows; write one for each counted image")
    return [(image, count) for _, image, count in rows.values()]


def _decoded(path: pathlib.Path) -> str:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from error
    encoding = next((name for bom, name in _BOMS.items() if data.startswith(bom)), "utf-8")
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        raise InputError(
            f"{path}: is not a CSV file in UTF-8 or UTF-16 ({error}); in a spreadsheet, save it as 'CSV UTF-8'"
        ) from error
    if "\0" in text:
        raise InputError(
            f"{path}: is not a CSV file (it has NUL bytes); in a spreadsheet, save it as 'CSV UTF-8'"
        )
    return text


def _delimiter(path: pathlib.Path, text: str) -> str:
    """Return what separates the cells of the header; raise InputError, with the header, if it lacks a column."""
    header = next(
        (
            line
            for line in text.splitlines()
            if line.strip(f" {_DELIMITERS}") and not line.lower().startswith("sep=")
        ),
        "",
    )
    for delimiter in _DELIMITERS:
        cells = [cell.strip().lower() for cell in next(csv.reader([header], delimiter=delimiter), [])]
        if all(cells.count(column) == 1 for column in _COLUMNS):
            return delimiter
    raise InputError(
        f"{path}: the first line must name the columns image and count, each once; it is {header[:80]!r}"
    )


def _check_width(path: pathlib.Path, line: int, cells: list[str], columns: list[str]) -> None:
    if len(cells) < 1 + max(columns.index(column) for column in _COLUMNS):
        raise InputError(f"{path}, line {line}: has {len(cells)} cells, too few for an image and its count")
    if any(cells[len(columns) :]):
        raise InputError(
            f"{path}, line {line}: has {len(cells)} cells, the header names {len(columns)} columns; "
            "a name with a comma in it belongs in quotes"
        )


def _people(path: pathlib.Path, line: int, cell: str, delimiter: str) -> float:
    if _AMBIGUOUS.fullmatch(cell):
        plain = cell.replace(".", "").replace(",", "")
        raise InputError(
            f"{path}, line {line}: {cell!r} can be read in two ways; write {plain}, if that is meant"
        )
    try:
        count = float(cell.replace(",", ".") if delimiter != "," else cell)
    except ValueError:
        count = math.nan
    if not 0 <= count < math.inf:
        raise InputError(f"{path}, line {line}: {cell!r} is not a number of people")
    return count
