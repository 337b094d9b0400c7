"""A page and contact sheets on a dataset: its contents, its self-check against published figures, and duplicates."""

import pathlib
from collections.abc import Sequence

import cv2
import numpy as np

from cc_jax.data import images
from cc_jax.data.files import write_atomic
from cc_jax.data.survey import Look, Twins, find_twins
from cc_jax.report import markup, overlays, plots

_COLUMNS, _ROWS = 6, 8  # of a contact sheet
_TILE = (180, 240)  # height and width in pixels of a tile of a contact sheet
_PAIRS = 24  # of duplicates whose images are shown; the table lists all
_BACKGROUND = (246, 248, 250)


def write(folder: pathlib.Path, name: str, looks: Sequence[Look], check: Sequence[str]) -> list[pathlib.Path]:
    """Write index.html and a contact sheet for each split into `folder`. Return their paths, the page first.

    Args:
      name: the dataset's.
      looks: at all images of all splits; see data/survey.py.
      check: the lines of the self-check; see `preparation.describe`.
    """
    sheets = {}
    for split in dict.fromkeys(one.split for one in looks):
        sheets[split] = contact_sheet([one for one in looks if one.split == split])
        images.write_image(folder / f"{split}.png", sheets[split])
    page = folder / "index.html"
    write_atomic(page, render(name, looks, check, find_twins(looks), sheets))
    return [page, *(folder / f"{split}.png" for split in sheets)]


def render(
    name: str,
    looks: Sequence[Look],
    check: Sequence[str],
    doubled: Sequence[Twins],
    sheets: dict[str, np.ndarray],
) -> str:
    """Return the page as HTML."""
    people = sum(one.people for one in looks)
    lead = (
        f'<h1 class="eyebrow">{markup.text(name)}</h1>'
        f'<p class="headline">{len(looks):,} images, {people:,} people</p>'
        f'<p class="sub">{markup.text(_leaks(doubled))}</p>'
    )
    lines = "".join(f"<li>{markup.text(line.strip())}</li>" for line in check)
    sections = [
        markup.section("Self-check", f"<ul>{lines}</ul>" + _splits(looks)),
        markup.section("People per image", _histogram(looks)),
        markup.section("Sizes", _sizes(looks)),
        markup.section("Duplicates", _duplicates(doubled)),
        *(_sheet(split, sheet, looks) for split, sheet in sheets.items()),
    ]
    return markup.page(name, lead, "\n".join(sections))


def contact_sheet(looks: Sequence[Look]) -> np.ndarray:
    """Return a split's images in ascending order of their counts, with marked heads and the count: uint8 [H, W, 3]."""
    ordered = sorted(looks, key=lambda one: (one.people, one.id))
    shown = min(len(ordered), _COLUMNS * _ROWS)
    chosen = [ordered[i] for i in np.linspace(0, len(ordered) - 1, shown).round().astype(int)]
    rows = -(-shown // _COLUMNS)
    sheet = np.full((rows * _TILE[0], min(shown, _COLUMNS) * _TILE[1], 3), _BACKGROUND, np.uint8)
    for i, one in enumerate(chosen):
        tile = _fit(one.small)
        count = f"{one.people}" if one.labelled else "?"
        tile = overlays.label(tile, count)
        row, column = divmod(i, _COLUMNS)
        top, left = row * _TILE[0], column * _TILE[1]
        sheet[top : top + tile.shape[0], left : left + tile.shape[1]] = tile
    return sheet


def _fit(small: np.ndarray) -> np.ndarray:
    scale = min((_TILE[0] - 4) / small.shape[0], (_TILE[1] - 4) / small.shape[1])
    height, width = (max(1, int(side * scale)) for side in small.shape[:2])
    return cv2.resize(small, (width, height), interpolation=cv2.INTER_AREA)


def _leaks(doubled: Sequence[Twins]) -> str:
    leaks = sum(pair.leak for pair in doubled)
    if not doubled:
        return "No two images show the same."
    across = (
        f"{leaks} of them across splits: training images that are tested on"
        if leaks
        else "none of them across splits"
    )
    return f"{len(doubled)} pairs of images show the same, {across}."


def _splits(looks: Sequence[Look]) -> str:
    headings = ["split", "images", "people", "fewest", "median", "most", "empty", "outside the region", "unlabelled",
                "stored grey", "look grey"]  # fmt: skip
    body = []
    for split in dict.fromkeys(one.split for one in looks):
        same = [one for one in looks if one.split == split]
        counts = [one.people for one in same if one.labelled]
        few = (min(counts), float(np.median(counts)), max(counts)) if counts else ("-", "-", "-")
        body.append(
            [split, f"{len(same):,}", f"{sum(counts):,}", *(f"{v:,.0f}" if counts else v for v in few)]
            + [f"{sum(c == 0 for c in counts)}", f"{sum(one.outside for one in same):,}"]
            + [f"{sum(test(one) for one in same)}" for test in _TESTS]
        )
    return markup.table(headings, body, "The splits")


_TESTS = (lambda one: not one.labelled, lambda one: one.channels == 1, lambda one: one.looks_grey)


def _histogram(looks: Sequence[Look]) -> str:
    counts = {}
    for one in looks:
        if one.labelled:
            counts.setdefault(one.split, []).append(one.people)
    if not counts:
        return "<p>The images have no labels.</p>"
    told = "; ".join(f"{split}: {min(c)} to {max(c)}" for split, c in counts.items())
    return markup.figure(
        markup.svg(plots.histogram(counts), f"People per image. {told}."), "People per image", "wide"
    )


def _sizes(looks: Sequence[Look]) -> str:
    sizes: dict[tuple[int, int], int] = {}
    for one in looks:
        sizes[one.width, one.height] = sizes.get((one.width, one.height), 0) + 1
    common = sorted(sizes.items(), key=lambda item: -item[1])
    sides = [side for size in sizes for side in size]
    body = [[f"{width} × {height}", f"{count:,}"] for (width, height), count in common[:12]]
    rest = f"; the {len(common) - 12} rarest ones are not listed" if len(common) > 12 else ""
    caption = f"{len(sizes)} sizes, with sides from {min(sides)} to {max(sides)} pixels{rest}"
    return markup.table(["width × height", "images"], body, caption)


def _duplicates(doubled: Sequence[Twins]) -> str:
    if not doubled:
        return "<p>None: no two images have the same pixels or similar perceptual hashes.</p>"
    listed = [
        [f"{pair.one.split} {pair.one.id}", f"{pair.other.split} {pair.other.id}",
         "same pixels" if pair.exact else f"{pair.bits} bits of the hash", "different" if pair.leak else "same",
         f"{pair.one.people} and {pair.other.people}"]
        for pair in doubled
    ]  # fmt: skip
    table = markup.table(
        ["image", "duplicate", "difference", "splits", "people"], listed, "Images that show the same"
    )
    shown = "".join(
        f'<div class="panels">{_thumb(pair.one)}{_thumb(pair.other)}</div>' for pair in doubled[:_PAIRS]
    )
    return table + markup.details(f"The {min(len(doubled), _PAIRS)} most similar pairs", shown, is_open=True)


def _thumb(one: Look) -> str:
    return markup.figure(markup.picture(one.small, one.id), f"{one.split} {one.id}: {one.people}")


def _sheet(split: str, sheet: np.ndarray, looks: Sequence[Look]) -> str:
    total = sum(one.split == split for one in looks)
    shown = min(total, _COLUMNS * _ROWS)
    which = "all images" if shown == total else f"{shown} of {total:,} images"
    caption = f"{split}: {which}, in ascending order of their counts, with a dot on every head"
    return markup.section(
        f"Contact sheet of {split}", markup.figure(markup.picture(sheet, caption), caption, "wide")
    )
