"""Tell images that a counter is not meant for: upside down, drawn, blurred, and whatever else is unlike its training.

A linear classifier tells the images of the training from spoiled copies of them (spoiled.py). It goes by what the counter's
encoder makes of the upper, the middle and the lower third of a small copy. It needs no label and no real image. How unusual
its answer is, images say that the counter was not trained on: a conformal p-value over kinds of images, as the intervals of
domains.py.

Source: outlier exposure (Hendrycks et al., ICLR 2019) on frozen features; conformal p-values (Vovk et al., 2005; Bates et
al., Annals of Statistics 2023) with the weights of domains.py.
"""

import dataclasses
import math
import pathlib
from collections.abc import Callable, Iterable
from typing import Any

import cv2
import numpy as np
from jaxtyping import Bool, Float, Int, UInt8
from scipy import optimize, special

from cc_jax.evaluation import spoiled
from cc_jax.units import CELL
from cc_jax.workdir.arrays import read_about_counter, write_about_counter
from cc_jax.workdir.layout import Layout

_SIDE = 256  # pixels of the longer side of the small copy
_BANDS = 3
_BAND_ROWS = -(-_SIDE // (_BANDS * CELL)) * CELL
_PENALTY = 0.01  # of the squared weights, for an average of the loss
_LEAST_SPREAD = 0.01  # of a feature, relative to the mean over features
UNUSUAL = 0.1  # a p-value up to here is worth a warning

HERE = "an image of the training"
CLASSES = (HERE, *spoiled.KINDS)
# What a person is told of an image of each kind.
WORDS = {
    "upside_down": "it may be upside down",
    "turned": "it may be turned by 90 degrees",
    "negative": "it may be a negative",
    "blurred": "it is very blurred",
    "noisy": "it is very noisy",
    "sketched": "it may be a drawing",
    "shuffled": "it may consist of several images",
    "pixelated": "it has too few pixels",
    "screen": "it may be a screen or a text",
    "blobs": "it shows round things that may be no heads",
    "plain": "it shows next to nothing",
}

Embed = Callable[..., Any]  # `inference.predict.make_embed`'s


def bands(rgb: UInt8[np.ndarray, "H W 3"]) -> tuple[np.ndarray, np.ndarray]:
    """Return the thirds of a small copy, uint8 [3, 88, 256, 3], and where they have pixels, uint8 [3, 88, 256, 1]."""
    height, width = rgb.shape[:2]
    factor = _SIDE / max(height, width)
    size = max(_BANDS, round(factor * width)), max(_BANDS, round(factor * height))
    small = cv2.resize(rgb, size, interpolation=cv2.INTER_AREA if factor < 1 else cv2.INTER_LINEAR)
    image = np.zeros((_BANDS, _BAND_ROWS, _SIDE, 3), np.uint8)
    roi = np.zeros((_BANDS, _BAND_ROWS, _SIDE, 1), np.uint8)
    for i, part in enumerate(np.array_split(small, _BANDS)):
        rows, columns = part.shape[:2]
        image[i, :rows, :columns], roi[i, :rows, :columns] = part, 1
    return image, roi


def look(embed: Embed, variables, rgb: UInt8[np.ndarray, "H W 3"]) -> np.ndarray:
    """Return what a counter's encoder makes of the thirds of an image, float32 [3 C]."""
    return np.asarray(embed(variables, *bands(rgb))).ravel()


def training_looks(
    looks_of: Callable[[np.ndarray], np.ndarray], images: Iterable[UInt8[np.ndarray, "H W 3"]], seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Return (features [n, D], labels [n]) to fit a `Classifier` on: of images, of parts of them, and of spoiled copies.

    Args:
      looks_of: image -> features, such as `look`.
      images: of the training.
      seed: of the parts and the copies.
    """
    rng = np.random.default_rng(seed)
    features, labels = [], []
    for image in images:
        for label, kind in enumerate(CLASSES):
            shown = [image, _part(rng, image)]
            if kind != HERE:
                shown = [spoiled.spoil(rng, shown[rng.integers(2)], kind)]
            features += map(looks_of, shown)
            labels += [label] * len(shown)
    return np.stack(features), np.array(labels)


def _part(rng: np.random.Generator, image: np.ndarray) -> np.ndarray:
    """Return a part of an image, upright or broad, so that the classifier does not go by the aspect."""
    height, width = image.shape[:2]
    aspect = np.exp(rng.uniform(*np.log((0.6, 1.9))))
    rows = min(height, rng.uniform(0.5, 1) * math.sqrt(height * width / aspect), width / aspect)
    size = max(1, int(rows)), max(1, min(width, int(rows * aspect)))
    top, left = (
        int(rng.integers(whole - part + 1)) for whole, part in zip((height, width), size, strict=True)
    )
    return np.ascontiguousarray(image[top : top + size[0], left : left + size[1]])


@dataclasses.dataclass(frozen=True)
class Classifier:
    """A linear classifier of `CLASSES`.

    Attributes:
      weights: float32 [D, K].
      bias: float32 [K].
    """

    weights: np.ndarray
    bias: np.ndarray

    @classmethod
    def fit(cls, features: Float[np.ndarray, "n D"], labels: Int[np.ndarray, " n"]) -> "Classifier":
        """Fit by multinomial logistic regression on standardized features; every class has the same weight in the loss.

        Args:
          features: of images of all classes.
          labels: indices into `CLASSES`.
        """
        center, spread = features.mean(0), features.std(0)
        # A feature that hardly varies here may vary elsewhere.
        spread = np.maximum(spread, _LEAST_SPREAD * spread.mean() + 1e-6)
        x = (features - center) / spread
        number, classes = len(x), len(CLASSES)
        share = 1 / (classes * np.bincount(labels, minlength=classes)[labels])
        target = np.eye(classes)[labels]

        def loss(flat: np.ndarray) -> tuple[float, np.ndarray]:
            weights, bias = flat[:-classes].reshape(-1, classes), flat[-classes:]
            log_p = special.log_softmax(x @ weights + bias, axis=1)
            wrong = (np.exp(log_p) - target) * share[:, None]
            value = -(share * log_p[np.arange(number), labels]).sum() + _PENALTY / 2 * (weights**2).sum()
            return value, np.concatenate([(x.T @ wrong + _PENALTY * weights).ravel(), wrong.sum(0)])

        start = np.zeros((x.shape[1] + 1) * classes)
        flat = optimize.minimize(loss, start, jac=True, method="L-BFGS-B", options={"maxiter": 300}).x
        weights = flat[:-classes].reshape(-1, classes) / spread[:, None]
        bias = flat[-classes:] - center @ weights
        return cls(weights.astype(np.float32), bias.astype(np.float32))

    def score(self, features: Float[np.ndarray, "*n D"]) -> np.ndarray:
        """Return how little images look like those of the training: -log of the probability, at least 0."""
        return np.asarray(-special.log_softmax(features @ self.weights + self.bias, axis=-1)[..., 0])

    def kind(self, features: Float[np.ndarray, " D"]) -> str:
        """Return the most probable kind of spoiled image."""
        return CLASSES[1 + int(np.argmax((features @ self.weights + self.bias)[1:]))]


@dataclasses.dataclass(frozen=True)
class NotHere:
    """What tells the images that a counter is not meant for.

    Attributes:
      classifier: of what the encoder makes of them.
      scores: of labelled images that the counter was not trained on, float64 [n].
      domain: the domain of each, 0 to K - 1, int64 [n]; see domains.py.
      weights_sha256: the counter's.
    """

    classifier: Classifier
    scores: np.ndarray
    domain: np.ndarray
    weights_sha256: str = ""

    def of(self, chosen: Bool[np.ndarray, " n"]) -> "NotHere":
        """Return what is known from the chosen images alone."""
        domain = np.unique(self.domain[chosen], return_inverse=True)[1]
        return dataclasses.replace(self, scores=self.scores[chosen], domain=domain)

    def p_value(self, score: float) -> float:
        """Return how often an image of one more domain, drawn like the K, would have a score at least as high.

        At least 1 / (K + 1). For an image of such a domain, a value of p or less comes with a probability of at most p.
        """
        images = np.bincount(self.domain)
        higher = self.scores >= score
        return float((1 + (higher / images[self.domain]).sum()) / (len(images) + 1))

    def warnings(self, p_value: float, features: Float[np.ndarray, " D"]) -> list[str]:
        """Return a sentence on an image that is not like the others, or none."""
        if p_value > UNUSUAL:
            return []
        words = WORDS[self.classifier.kind(features)]
        return [
            f"the image is unlike those that this counter was tried on ({words}): do not rely on its count"
        ]

    def save(self, workdir: pathlib.Path) -> None:
        """Write `workdir`/not_here.npz."""
        about = {"classes": CLASSES, "weights_sha256": self.weights_sha256}
        arrays = {
            "weights": self.classifier.weights.astype(np.float16),
            "bias": self.classifier.bias,
            "scores": self.scores.astype(np.float32),
            "domain": self.domain.astype(np.int16),
        }
        write_about_counter(Layout(workdir).not_here, about, arrays)


def leave_each_out(known: NotHere, sizes: dict[str, int]) -> dict[str, float]:
    """Return the share of each set's images that would be called unusual if the other sets alone were known.

    Args:
      known: the images of all sets, in their order.
      sizes: {set: its number of images}; at least two sets.
    """
    of_set = np.repeat(np.arange(len(sizes)), list(sizes.values()))
    found = {}
    for i, name in enumerate(sizes):
        if (of_set == i).all():
            continue
        others = known.of(of_set != i)
        found[name] = float(
            np.mean([others.p_value(score) <= UNUSUAL for score in known.scores[of_set == i]])
        )
    return found


def load(workdir: pathlib.Path, weights_sha256: str) -> NotHere | None:
    """Return what `NotHere.save` has written, or None if it has not.

    Raises CheckpointError if the file is damaged or belongs to other weights, or a later version wrote it.
    """

    def read(about, arrays) -> NotHere:
        if tuple(about["classes"]) != CLASSES:
            raise ValueError("it knows other kinds of images")
        classifier = Classifier(arrays["weights"].astype(np.float32), arrays["bias"])
        scores, domain = arrays["scores"].astype(np.float64), arrays["domain"].astype(np.int64)
        return NotHere(classifier, scores, domain, about["weights_sha256"])

    remedy = "remove it and measure the domains again"
    return read_about_counter(Layout(workdir).not_here, weights_sha256, read, remedy)
