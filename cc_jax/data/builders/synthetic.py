"""`synthetic/{source,target,validation,clutter}`: procedurally drawn images, generated from a seed (see `data/scenes`).

`source` has 240 training and 60 test images, `target` 240 and 240, `validation` 320 test images of the target's kind from
another seed. `clutter` has 240 and 60 images without people. The license is that of this project.
"""

import dataclasses
import itertools
import os
import pathlib
from collections.abc import Sequence
from concurrent import futures

import numpy as np
import tensorflow_datasets as tfds

from cc_jax.data import images, scenes
from cc_jax.data.builders import base
from cc_jax.data.scenes import clutter


@dataclasses.dataclass(kw_only=True)
class Config(tfds.core.BuilderConfig):
    """What is drawn.

    Attributes:
      domain: "source" or "target", see `scenes.render`; or "clutter", see `scenes.clutter`.
      train: Number of training images.
      test: Number of test images.
      height: Height of an image in pixels.
      width: Width of an image in pixels.
      seed: Sets with different seeds share no image.
    """

    domain: str
    train: int
    test: int
    height: int = 256
    width: int = 384
    seed: int = 0


class Builder(base.CrowdDatasetBuilder):
    """Crowds in perspective: clean renders (`source`) and renders with the defects of photographs (`target`)."""

    # Raise it when the pictures change. Otherwise the sets on disk stay as they were drawn.
    VERSION = tfds.core.Version("1.3.0")
    DESCRIPTION = "Procedurally drawn crowds in perspective with the position of every head."
    MANUAL_DOWNLOAD_INSTRUCTIONS = None
    BUILDER_CONFIGS = [
        Config(name="source", domain="source", train=240, test=60, description="Clean renders."),
        Config(
            name="target",
            domain="target",
            train=240,
            test=240,
            description="Renders that resemble photographs.",
        ),
        # For choosing settings. The target's test images are for the final numbers only.
        Config(
            name="validation", domain="target", train=0, test=320, seed=1, description="More target images."
        ),
        # Larger, at the size of the photographs and renders that it is mixed with.
        Config(
            name="clutter",
            domain="clutter",
            train=240,
            test=60,
            height=512,
            width=768,
            description="Images without people, of what counters take for heads.",
        ),
    ]

    def checked(self, manual_dir: pathlib.Path) -> base.Raw:
        """Draw all images. `manual_dir` is not used."""
        config = self.builder_config
        sizes = {"train": config.train, "test": config.test}
        return base.Raw({split: _draw_split(config, split, range(n)) for split, n in sizes.items() if n})


def _draw_split(config: Config, split: str, indices: range) -> Sequence[base.RawImage]:
    """Draw images on all cores, in order. Threads suffice, because OpenCV releases the interpreter's lock."""
    with futures.ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        return list(pool.map(_draw_image, itertools.repeat(config), itertools.repeat(split), indices))


def _draw_image(config: Config, split: str, index: int) -> base.RawImage:
    """Draw image `index` of a split. The splits have different seeds, so no test image is a training image."""
    seed = 2 * config.seed + (split == "test")
    size = {"height": config.height, "width": config.width}
    if config.domain == "clutter":
        scene = scenes.Scene(clutter.render(seed, index, **size), np.zeros((0, 2), np.float32))
    else:
        scene = scenes.render(config.domain, seed, index, **size)
    image = images.encode_image(scene.image, ".jpg", 95)
    return base.RawImage(
        f"{split}_{index:05d}", image, scene.points, height=config.height, width=config.width
    )
