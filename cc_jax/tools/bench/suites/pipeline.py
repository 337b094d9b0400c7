"""Training crops per second, beside a torch DataLoader as in the field's published code: PIL, and densities from the disk.

Both sides read the same JPEG files, choose windows by the same rule, apply the same flips and photometric changes, and
return batches of 8 crops with densities per cell. Both use the same number of workers: ours are threads or processes,
torch's are processes, which stay alive between rounds. The reference decodes every image completely with PIL and reads its
precomputed full-size density from a .npy file. The data is ShanghaiTech A's training images if --data_dir is given, else
renders of 1024x704.
Needs torch, see tests/requirements-extra.txt.
"""

import contextlib
import functools
import itertools
import pathlib
import tempfile
from collections.abc import Generator, Iterable

import numpy as np

from cc_jax.data import pipeline, transforms
from cc_jax.data.density import Density, resize_density
from cc_jax.data.examples import Examples
from cc_jax.data.images import cv2, encode_image
from cc_jax.data.photometric import photometric
from cc_jax.data.scenes import crowds
from cc_jax.tools.bench import Options, Row, alternate, import_torch
from cc_jax.units import CELL

GOAL = 3
_IMAGES, _BATCH, _BATCHES, _WORKERS, _ROUNDS = 64, 8, 64, 2, 3
_AUGMENT = transforms.Augment(crop=256, scale_min=0.8, scale_max=1.25, photometric=0.5, grey=0.1)


def run(options: Options) -> list[Row]:
    """Return rows with images decoded once, in processes and on threads, and one with images decoded every time."""
    records, what = _records(options)
    kept, decoded = Examples(records, limit=2**40), Examples(records)
    with tempfile.TemporaryDirectory() as folder:
        loader = _loader(PeerDataset(records, pathlib.Path(folder)))
        stream = _batches(
            Examples(records, limit=2**40), 2**40, workers=_WORKERS
        )  # workers stay alive, as torch's do
        runs = {
            f"decoded once, {_WORKERS} processes": lambda: _consume(itertools.islice(stream, _BATCHES)),
            f"decoded once, {_WORKERS} threads": lambda: _consume(_batches(kept, _BATCHES)),
            f"decoded every time, {_WORKERS} threads": lambda: _consume(_batches(decoded, _BATCHES)),
            "reference": lambda: _consume(loader),
        }
        with contextlib.closing(stream):
            for name in ("reference", *list(runs)[:2] * 2):  # starts workers and fills caches
                runs[name]()
            # Removes the batches that the processes have made while others were timed.
            drain = {next(iter(runs)): lambda: _consume(itertools.islice(stream, 4 * _WORKERS))}
            seconds = alternate(runs, _ROUNDS, drain)
    crops = _BATCH * _BATCHES
    reference = seconds.pop("reference")
    return [
        Row(
            suite="pipeline",
            case=f"{name}, {what}: {crops / each.median / _WORKERS:.0f} crops per second and core",
            ours=each.by(1 / crops),
            reference=f"torch DataLoader: {crops / reference.median / _WORKERS:.0f}",
            theirs=reference.by(1 / crops),
            ratio=reference.median / each.median,
            goal=GOAL,
        )
        for name, each in seconds.items()
    ]


def _consume(batches: Iterable) -> None:
    for _ in batches:
        pass


def _batches(examples: Examples, end: int, workers: int = 0) -> Generator[dict, None, None]:
    """Yield our batches 0 to `end`, made on threads or in processes."""
    dataset = pipeline.train_dataset(examples, augment=_AUGMENT, density=Density(), seed=0)
    make = functools.partial(pipeline.batch_at, dataset, batch_size=_BATCH)
    return pipeline.batches(make, 0, end, threads=_WORKERS, workers=workers)


def _loader(dataset: "PeerDataset"):
    import_torch()
    from torch.utils import data  # pyright: ignore[reportMissingImports]

    # A map-style dataset needs no base class.
    return data.DataLoader(
        dataset,  # pyright: ignore[reportArgumentType]
        batch_size=_BATCH,
        num_workers=_WORKERS,
        persistent_workers=True,
        prefetch_factor=2,
    )


class PeerDataset:
    """A map-style dataset as in the field's published code: files of images, and of full-size densities."""

    def __init__(self, records, folder: pathlib.Path):
        self.paths = []
        for i in range(len(records)):
            record = records[i]
            path = folder / f"{i}.jpg"
            path.write_bytes(record["image"])
            full = Density().map(record["points"], record["height"], record["width"], stride=1)
            np.save(path.with_suffix(".npy"), full.astype(np.float32))
            self.paths.append(path)

    def __len__(self) -> int:
        return _BATCH * _BATCHES

    def __getitem__(self, i: int) -> tuple[np.ndarray, np.ndarray]:
        from PIL import Image

        rng = np.random.default_rng(i)
        path = self.paths[int(rng.integers(len(self.paths)))]
        image = np.asarray(Image.open(path).convert("RGB"))
        density = np.load(path.with_suffix(".npy"))
        top, left, side = _AUGMENT._window({"image": image, "id": path.name}, rng)
        cut = (slice(top, top + side), slice(left, left + side))
        crop = _AUGMENT.crop
        image = _AUGMENT._resampled(image[cut], rng)
        target = resize_density(density[cut], crop // CELL, crop // CELL)
        if rng.random() < 0.5:
            image, target = cv2.flip(image, 1), target[:, ::-1]
        image = photometric(image, rng, _AUGMENT.photometric, _AUGMENT.grey)
        return image, np.ascontiguousarray(target)


def _records(options: Options) -> tuple[list[dict], str]:
    """Return records in memory, so that both sides start from the bytes of files, and what to call them."""
    if options.data_dir:
        from cc_jax.data import sources  # imports TFDS

        source = sources.open_source("shanghaitech/part_a", f"train[:{_IMAGES}]", options.data_dir)
        return [source[i] for i in range(len(source))], "ShanghaiTech A"
    drawn = [crowds.render(0, i, look="target", height=704, width=1024) for i in range(_IMAGES)]
    records = [
        {"id": f"{i}", "image": encode_image(one.image, ".jpg", 95), "points": one.points, "labelled": True,
         "roi": np.zeros((0, 2), np.float32), "height": 704, "width": 1024}
        for i, one in enumerate(drawn)
    ]  # fmt: skip
    return records, "renders of 1024x704"
