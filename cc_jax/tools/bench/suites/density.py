"""Density maps, beside the widely used script of CSRNet's authors, which filters the whole image once per head.

The images are the three of ShanghaiTech A (train) whose number of heads is nearest to the median. Without the data they are
images of that size with as many heads at random. The reference is timed on whole images, so nothing is extrapolated.
"""

import pathlib
import statistics

import numpy as np
import scipy.io
import scipy.ndimage

from cc_jax.data import images
from cc_jax.data.density import Density, pixels
from cc_jax.errors import ConfigError
from cc_jax.tools.bench import Options, Row, Times, alternate
from cc_jax.units import CELL

GOAL = 100
IMAGES = 3
_REFERENCE = "gaussian_filter of the image per head"
Heads = tuple[np.ndarray, int, int]  # (heads [N, 2] as (x, y), height, width of the image)


def run(options: Options) -> list[Row]:
    """Return a row for each kernel at full size and at the size of cells."""
    frames, what = _frames(options)
    return [row for kernel in ("fixed", "adaptive") for row in _rows(Density(kernel=kernel), frames, what)]


def _rows(density: Density, frames: list[Heads], what: str) -> list[Row]:
    """Time each image once. For cells, the reference is the full-size map summed over each cell."""
    timed = [alternate(_runs(density, *frame), rounds=1) for frame in frames]
    seconds = {name: [times[name].median for times in timed] for name in timed[0]}
    pooled = [sum(both) for both in zip(seconds["reference"], seconds["pooling"], strict=True)]
    found = {
        stride: (Times.of(seconds[f"ours {stride}"]), Times.of(theirs))
        for stride, theirs in ((1, seconds["reference"]), (CELL, pooled))
    }
    return [
        Row(
            suite="density",
            case=f"{density.kernel} kernel, 1/{stride} size, {what}",
            ours=ours,
            reference=_REFERENCE + (", then pooled" if stride > 1 else ""),
            theirs=theirs,
            ratio=theirs.median / ours.median,
            goal=GOAL,
        )
        for stride, (ours, theirs) in found.items()
    ]


def _runs(density: Density, points_Nx2: np.ndarray, height: int, width: int) -> dict:
    """Return what is timed on one image. Both sides use the same sigmas, but only ours computes them."""
    sigmas = density.sigmas(points_Nx2)
    full = density.map(points_Nx2, height, width, stride=1)
    return {
        f"ours {CELL}": lambda: density.map(points_Nx2, height, width, stride=CELL),
        "reference": lambda: reference_map(density, points_Nx2, height, width, sigmas),
        "ours 1": lambda: density.map(points_Nx2, height, width, stride=1),
        "pooling": lambda: pool(full, CELL),
    }


def reference_map(
    density: Density, points_Nx2: np.ndarray, height: int, width: int, sigmas: np.ndarray
) -> np.ndarray:
    """Return the map of the script: an image of zeros with one head is filtered, for each head, and all are added."""
    total = np.zeros((height, width), np.float32)
    for (x, y), sigma in zip(pixels(points_Nx2, height, width), sigmas, strict=True):
        alone = np.zeros((height, width), np.float32)
        alone[y, x] = 1.0
        radius = density.size // 2 if density.kernel == "fixed" else None
        total += scipy.ndimage.gaussian_filter(
            alone, sigma, mode="constant", truncate=density.truncate, radius=radius
        )
    return total


def pool(map_HxW: np.ndarray, stride: int) -> np.ndarray:
    """Sum a map over cells of stride x stride pixels. The last cells may be smaller."""
    rows = np.add.reduceat(map_HxW, np.arange(0, map_HxW.shape[0], stride), axis=0)
    return np.add.reduceat(rows, np.arange(0, map_HxW.shape[1], stride), axis=1)


def _frames(options: Options) -> tuple[list[Heads], str]:
    """Return the images that are timed, and what to call them."""
    if options.manual_dir:
        frames = _downloaded(options.manual_dir)
    elif options.data_dir:
        frames = _prepared(options.data_dir)
    else:
        rng = np.random.default_rng(0)
        return [(rng.uniform(0, (1024, 704), (378, 2)), 704, 1024)] * IMAGES, "378 random heads in 704x1024"
    numbers = [len(points) for points, _, _ in frames]
    middle = statistics.median(numbers)
    chosen = sorted(frames, key=lambda frame: abs(len(frame[0]) - middle))[:IMAGES]
    heads = "/".join(str(len(points)) for points, _, _ in chosen)
    return chosen, f"ShanghaiTech A, {heads} heads"


def _prepared(data_dir: pathlib.Path) -> list[Heads]:
    from cc_jax.data import sources  # imports TFDS

    source = sources.open_source("shanghaitech/part_a", "train", data_dir)
    records = (source[i] for i in range(len(source)))
    return [(record["points"], record["height"], record["width"]) for record in records]


def _downloaded(folder: pathlib.Path) -> list[Heads]:
    """Return the training images of part A as downloaded, in either spelling of its folders."""
    parts = [folder / name / "train_data" for name in ("part_A_final", "part_A")]
    train = next((part for part in parts if part.is_dir()), None)
    if train is None:
        raise ConfigError(f"{folder}: contains neither part_A_final/train_data nor part_A/train_data")
    truths = next(train / n for n in ("ground_truth", "ground-truth") if (train / n).is_dir())
    return [_frame(path, truths / f"GT_{path.stem}.mat") for path in images.list_images(train / "images")]


def _frame(image: pathlib.Path, truth: pathlib.Path) -> Heads:
    points_Nx2 = scipy.io.loadmat(truth)["image_info"][0, 0][0, 0][0]
    return (points_Nx2.astype(np.float32), *images.read_size(image))
