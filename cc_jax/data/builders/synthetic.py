"""`synthetic/{source,target,validation}`: procedural crowds, drawn from a seed (see `data/scenes`)."""

import dataclasses
import itertools
import os
import pathlib
from collections.abc import Sequence
from concurrent import futures

import tensorflow_datasets as tfds

from cc_jax.data import images, scenes
from cc_jax.data.builders import base


@dataclasses.dataclass(kw_only=True)
class Config(tfds.core.BuilderConfig):
    """What is drawn: `train` + `test` images of `height` x `width` pixels of one domain from `seed`."""

    domain: str
    train: int
    test: int
    height: int = 256
    width: int = 384
    seed: int = 0


class Synthetic(base.CrowdDatasetBuilder):
    """Crowds in perspective: a clean render (`source`) and one with the troubles of a photograph (`target`)."""

    VERSION = tfds.core.Version("1.3.0")  # raise it when a set changes: those on disk stay as drawn
    DESCRIPTION = "Procedural crowds in perspective with the position of every head."
    BUILDER_CONFIGS = [
        Config(name="source", domain="source", train=240, test=60, description="A clean render."),
        Config(name="target", domain="target", train=240, test=240, description="Looks like photographs do."),
        # Settings are chosen here: the target's test images are for the final numbers.
        Config(
            name="validation", domain="target", train=0, test=320, seed=1, description="More of the target."
        ),
    ]

    def checked(self, manual_dir: pathlib.Path) -> base.Raw:
        """All frames, drawn; `manual_dir` is not looked at."""
        config = self.builder_config
        sizes = {"train": config.train, "test": config.test}
        return base.Raw({split: _draw(config, split, range(n)) for split, n in sizes.items() if n})


def _draw(config: Config, split: str, indices: range) -> Sequence[base.RawImage]:
    """Frames on all cores (OpenCV lets go of the interpreter while it draws), in order."""
    with futures.ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        return list(pool.map(_frame, itertools.repeat(config), itertools.repeat(split), indices))


def _frame(config: Config, split: str, index: int) -> base.RawImage:
    """Frame `index` of a split; the splits use different seeds, so that no test image is one trained on."""
    seed = 2 * config.seed + (split == "test")
    scene = scenes.render(config.domain, seed, index, height=config.height, width=config.width)
    image = images.encode_image(scene.image, ".jpg", 95)
    return base.RawImage(
        f"{split}_{index:05d}", image, scene.points, height=config.height, width=config.width
    )


Builder = Synthetic
