"""Lines of text for a person: what a copy of a dataset lacks, and the self-check that `prepare` prints."""

import pathlib
from collections.abc import Collection, Mapping, Sequence

from cc_jax.data.builders.raw import ALL, Total


def missing_split(path: pathlib.Path, split: str) -> str:
    """Return the note on a split that a copy of the dataset lacks. The other splits are built all the same."""
    return f"{path} does not exist: the split {split!r} is left out and cannot be used"


def missing_images(split: str, found: Collection[str], expected: Sequence[str]) -> list[str]:
    """Compare the images of a split with the published list.

    Args:
      split: What to call the images in the notes.
      found: Names of the images that are there.
      expected: Names of the published images, in order.

    Returns:
      A note on the images that are missing and a note on those that are not in the list. Empty if there are none.
    """
    missing = [name for name in expected if name not in found]
    extra = [name for name in found if name not in set(expected)]
    notes = []
    if missing:
        ranges = _ranges(missing, expected)
        notes.append(f"{split}: {len(missing)} of {len(expected)} images are missing: {ranges}")
    if extra:
        notes.append(f"{split}: {len(extra)} images are not in the published set: {', '.join(extra)}")
    return notes


def first_few(items: Sequence[str], limit: int = 3, separator: str = ", ") -> str:
    """Join the first `limit` items and state how many more there are."""
    more = f" and {len(items) - limit} more" if len(items) > limit else ""
    return separator.join(items[:limit]) + more


def describe(summary: dict, totals: Mapping[str, Total]) -> list[str]:
    """Return the self-check of a prepared dataset, one line per item.

    Args:
      summary: Content of metadata.json, see `summary.summarize`.
      totals: Published totals, see `CrowdDatasetBuilder.totals`.

    Returns:
      A line for each split that compares it with its published totals, then the notes.
    """
    lines = [_describe_split(split, found, totals.get(split)) for split, found in summary["splits"].items()]
    if ALL in totals:
        found = {key: sum(split[key] for split in summary["splits"].values()) for key in ("images", "points")}
        lines.append(_describe_split(ALL, found, totals[ALL]))
    return lines + [f"  note: {note}" for note in summary["notes"]]


def _describe_split(split: str, found: dict, total: Total | None) -> str:
    line = f"  {split}: {found['images']:,} images, {found['points']:,} people"
    if total is not None:
        published = [f"{total.images:,} images"]
        published += [] if total.points is None else [f"{total.points:,} people"]
        same = found["images"] == total.images and total.points in (None, found["points"])
        line += ", as published" if same else f"; DIFFERS from the published {', '.join(published)}"
    if found.get("unlabelled"):
        line += f"; {found['unlabelled']:,} images are unlabelled"
    if found.get("moved"):
        line += f"; {found['moved']:,} points outside the image were moved to its border"
    return line


def _ranges(names: Sequence[str], order: Sequence[str]) -> str:
    """Join names that are neighbors in `order` into ranges: "IMG_3 - IMG_7, IMG_9"."""
    position = {name: i for i, name in enumerate(order)}
    ranges: list[list[str]] = []
    for name in names:
        if ranges and position[name] == position[ranges[-1][-1]] + 1:
            ranges[-1].append(name)
        else:
            ranges.append([name])
    return ", ".join(run[0] if len(run) == 1 else f"{run[0]} - {run[-1]}" for run in ranges)
