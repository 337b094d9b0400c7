"""A counter's intervals made good by images that somebody has counted, and whether a new image looks like them."""

import csv
import dataclasses
import functools
import io
import json
import math
import pathlib
import zipfile
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from jaxtyping import Float32

from cc_jax.data import images
from cc_jax.data.examples import Examples
from cc_jax.data.files import write_atomic
from cc_jax.data.resizing import ResizeRule
from cc_jax.errors import CheckpointError, ConfigError, InputError
from cc_jax.evaluation import conformal
from cc_jax.inference.predict import Prediction, mean_and_std

FILE = "calibration.npz"  # in a workdir


@dataclasses.dataclass(frozen=True)
class Calibrated:
    """What counted images say of a counter.

    Attributes:
      errors: its errors on them, see conformal.py.
      embeddings: the images as the encoder sees them, float32 [n, C].
      on: their set, in words.
      weights_sha256: of the counter.
    """

    errors: conformal.Calibration
    embeddings: np.ndarray
    on: str
    weights_sha256: str

    def bounds(self, predictions: list[Prediction]) -> Callable:
        """level -> (low, high) of the labelled images among `predictions`."""
        known = [p for p in predictions if not math.isnan(p.true)]
        count, std = np.array([mean_and_std(p.counts) for p in known]).T
        return functools.partial(self.errors.interval, count, std)

    def is_out_of_distribution(self, embedding: Float32[np.ndarray, " C"]) -> bool:
        """Whether an image is farther from the nearest counted one than any of these from the others.

        Channels are brought to the counted images' standard deviation. Of images drawn as they were, about one in n + 1
        is so far out. Two counted images at least are needed; with fewer nothing is known, and nothing said.
        """
        if len(self.embeddings) < 2:
            return False
        scale = self.embeddings.std(0) + 1e-6
        known = self.embeddings / scale
        apart = np.linalg.norm(known[:, None] - known[None], axis=2)
        np.fill_diagonal(apart, np.inf)
        return bool(np.linalg.norm(known - embedding / scale, axis=1).min() > apart.min(1).max())

    def unlike_share(self, predictions: list[Prediction]) -> str:
        """How many images are unlike the counted ones, and what that means, for a person."""
        unlike = sum(self.is_out_of_distribution(p.embedding) for p in predictions)
        text = f"{unlike} of {len(predictions)} images are unlike them"
        expected = len(predictions) / (len(self.embeddings) + 1)
        # Three standard deviations above what chance gives.
        if unlike > expected + 3 * math.sqrt(expected) and unlike > 1:
            return f"{text}, where chance makes {expected:.0f}: the level cannot be relied on there"
        return text

    def describe(self, level: float) -> str:
        """What the intervals stand on, for a person."""
        n, scale = (
            len(self.embeddings),
            {"spread": "the members' spread", "count": "the count"}.get(self.errors.scale),
        )
        text = f"{level:.0%} intervals are calibrated on {n} images of {self.on}"
        text += f", relative to {scale}" if scale else ", of one width"
        return f"{text}; they hold for images like these alone"

    def save(self, workdir: pathlib.Path) -> None:
        """Writes `workdir/calibration.npz`."""
        about = {"scale": self.errors.scale, "on": self.on, "weights_sha256": self.weights_sha256}
        buffer = io.BytesIO()
        np.savez(buffer, scores=self.errors.scores, embeddings=self.embeddings, about=json.dumps(about))
        write_atomic(workdir / FILE, buffer.getvalue())


def load(workdir: pathlib.Path, weights_sha256: str) -> Calibrated | None:
    """The workdir's calibration, or None without one. Raises CheckpointError if it is damaged or of other weights."""
    path = workdir / FILE
    if not path.exists():
        return None
    try:
        with np.load(path) as arrays:
            about = json.loads(str(arrays["about"]))
            errors = conformal.Calibration(about["scale"], arrays["scores"])
            found = Calibrated(errors, arrays["embeddings"], about["on"], about["weights_sha256"])
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise CheckpointError(f"{path} is damaged ({error}): remove it and calibrate again") from error
    if found.weights_sha256 != weights_sha256:
        raise CheckpointError(f"{path} is of other weights: remove it and calibrate again")
    return found


def calibrate(predictions: list[Prediction], on: str, weights_sha256: str, level: float) -> Calibrated:
    """From predictions whose `true` is known; others are left out. Raises InputError when too few are left for `level`."""
    known = [p for p in predictions if not math.isnan(p.true)]
    if len(known) < conformal.fewest(level):
        raise InputError(
            f"{on}: {len(known)} counted images; intervals of {level:.0%} take {conformal.fewest(level)} at least"
        )
    count, std = np.array([mean_and_std(p.counts) for p in known]).T
    errors = conformal.calibrate(np.array([p.true for p in known]), count, std)
    return Calibrated(errors, np.stack([p.embedding for p in known]), on, weights_sha256)


def predictions(
    on: str, predict: Callable[[Any], Iterator[Prediction]], resize_rule: ResizeRule, data_dir: str
) -> list[Prediction]:
    """Predictions of the images that `on` names, their counts as `true`.

    Args:
      on: a prepared set, "shanghaitech/part_a:train[:30]", or a CSV file with the columns `image` (a path, from the
        file's folder) and `count`.
      predict: examples -> predictions.
    """
    if on.lower().endswith(".csv"):
        counted = read_counts(pathlib.Path(on))
        found = predict(Examples(_Files([path for path, _ in counted]), resize_rule))
        return [dataclasses.replace(p, true=counted[p.index][1]) for p in found]
    from cc_jax.data import sources  # TFDS, only where it is needed

    dataset, _, split = on.partition(":")
    if not split:
        raise ConfigError(f"--calibrate_on={on}: write DATASET:SPLIT, or the name of a .csv file")
    return list(predict(Examples(sources.open_source(dataset, split, data_dir), resize_rule)))


def read_counts(path: pathlib.Path) -> list[tuple[pathlib.Path, float]]:
    """(image, count) of each row of a CSV file. Raises InputError naming the line that is wrong."""
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            if not {"image", "count"} <= set(reader.fieldnames or ()):
                raise InputError(f"{path}: its first line must name the columns image and count")
            rows = [_row(path, reader.line_num, row) for row in reader]
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path}: is no CSV file ({error})") from error
    if not rows:
        raise InputError(f"{path}: has no row; write one for each counted image")
    return rows


def _row(path: pathlib.Path, line: int, row: dict[str, str]) -> tuple[pathlib.Path, float]:
    image = path.parent / (row["image"] or "")
    if not image.is_file():
        raise InputError(f"{path}, line {line}: there is no image {image}")
    try:
        count = float(row["count"] or "")
    except ValueError:
        count = math.nan
    if not 0 <= count < math.inf:
        raise InputError(f"{path}, line {line}: {row['count']!r} is no number of people")
    return image, count


class _Files:
    """Image files as records (data/sources.py) without labels."""

    def __init__(self, paths: list[pathlib.Path]):
        self.paths = paths
        self.sizes = [images.read_size(path) for path in paths]

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, i: int) -> dict[str, Any]:
        height, width = self.sizes[i]
        none = np.zeros((0, 2), np.float32)
        common = {"points": none, "roi": none, "labelled": False, "height": height, "width": width}
        return {"id": str(self.paths[i]), "image": self.paths[i].read_bytes(), **common}
