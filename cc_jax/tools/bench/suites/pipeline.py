"""Training crops a second beside a torch DataLoader that does as the field's code does: PIL, densities from the disk.

Both sides read the same JPEG files, cut windows by the same rule, flip and change them by the same functions, and give
batches of 8 crops with densities at 1/8, on as many workers: ours on threads, torch's in processes that stay alive from
round to round. The reference decodes each image whole with PIL each time and reads its full-size density, precomputed,
from a .npy file. Data: ShanghaiTech A's training images where they are given (--data_dir), else renders of 1024x704.
Needs torch: tests/requirements-extra.txt.
"""

import pathlib
import tempfile
from collections.abc import Iterable, Iterator

import numpy as np

from cc_jax.data import pipeline, scenes, transforms
from cc_jax.data.density import Density, resize_density
from cc_jax.data.examples import Examples
from cc_jax.data.images import cv2, encode_image
from cc_jax.data.photometric import photometric
from cc_jax.errors import ConfigError
from cc_jax.tools.bench import Options, Row, alternate

GOAL = 3
_IMAGES, _BATCH, _BATCHES, _WORKERS, _ROUNDS = 64, 8, 24, 2, 3
_AUGMENT = transforms.Augment(crop=256, scale_min=0.8, scale_max=1.25, photometric=0.5, grey=0.1)


def run(options: Options) -> list[Row]:
    """A row with what a cache in memory saves, and one without it."""
    records, what = _records(options)
    kept, decoded = Examples(records, limit=2**40), Examples(records)
    with tempfile.TemporaryDirectory() as folder:
        loader = _loader(PeerDataset(records, pathlib.Path(folder)))
        runs = {
            "decoded once": lambda: _consume(_ours(kept)),
            "decoded each time": lambda: _consume(_ours(decoded)),
            "reference": lambda: _consume(loader),
        }
        for start in (
            runs["reference"],
            *[runs["decoded once"]] * (_IMAGES // _BATCH),
        ):  # workers up, cache full
            start()
        seconds = alternate(runs, _ROUNDS)
    crops = _BATCH * _BATCHES
    return [
        Row(
            suite="pipeline",
            case=f"{name}, {what}: {crops / seconds[name] / _WORKERS:.0f} crops a second and core",
            ours_s=seconds[name] / crops,
            reference=f"torch DataLoader: {crops / seconds['reference'] / _WORKERS:.0f}",
            reference_s=seconds["reference"] / crops,
            ratio=seconds["reference"] / seconds[name],
            goal=GOAL,
        )
        for name in ("decoded once", "decoded each time")
    ]


def _consume(batches: Iterable) -> None:
    for _ in batches:
        pass


def _ours(examples: Examples) -> Iterator[dict]:
    dataset = pipeline.train_dataset(examples, augment=_AUGMENT, density=Density(), seed=0)
    return pipeline.prefetch(
        lambda i: pipeline.batch_at(dataset, i, batch_size=_BATCH),
        0,
        _BATCHES,
        threads=_WORKERS,
        depth=2 * _WORKERS,
    )


def _loader(dataset: "PeerDataset"):
    try:
        from torch.utils import data
    except ImportError as error:
        raise ConfigError(
            "--suite=pipeline measures beside torch: .venv/bin/pip install -r tests/requirements-extra.txt"
        ) from error
    return data.DataLoader(
        dataset, batch_size=_BATCH, num_workers=_WORKERS, persistent_workers=True, prefetch_factor=2
    )


class PeerDataset:
    """A map-style dataset as the field's code has it: files of images, and of full-size densities."""

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
        target = resize_density(density[cut], crop // 8, crop // 8)
        if rng.random() < 0.5:
            image, target = cv2.flip(image, 1), target[:, ::-1]
        image = photometric(image, rng, _AUGMENT.photometric, _AUGMENT.grey)
        return image, np.ascontiguousarray(target)


def _records(options: Options) -> tuple[list[dict], str]:
    """Records in memory, so that both sides start from a file's bytes, and what to call them."""
    if options.data_dir:
        from cc_jax.data import sources  # TFDS, only where it is needed

        source = sources.open_source("shanghaitech/part_a", f"train[:{_IMAGES}]", options.data_dir)
        return [source[i] for i in range(len(source))], "ShanghaiTech A"
    drawn = [scenes.render("target", 0, i, height=704, width=1024) for i in range(_IMAGES)]
    records = [
        {"id": f"{i}", "image": encode_image(one.image, ".jpg", 95), "points": one.points, "labelled": True,
         "roi": np.zeros((0, 2), np.float32), "height": 704, "width": 1024}
        for i, one in enumerate(drawn)
    ]  # fmt: skip
    return records, "renders of 1024x704"
