"""`synthetic/{source,target,validation,crowds,clutter}`: images that are made from a seed (see `data/scenes`).

`source` has 240 training and 20 test images, `target` 240 and 200, `validation` 200 test images of the target's kind from
another seed. `crowds` has 800 and 100 images of rendered people, `clutter` 240 and 60 images without people. The license
is that of this project.
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
from cc_jax.data.scenes import clutter, crowds, surroundings
from cc_jax.errors import ConfigError


@dataclasses.dataclass(kw_only=True)
class Config(tfds.core.BuilderConfig):
    """What is drawn.

    Attributes:
      domain: "source" or "target", looks of `scenes.crowds`; "crowds" for all that it shows, "clutter" for `scenes.clutter`.
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


_DAY = ("overcast", "sun", "haze", "indoors")
# Target -> its light, and fewest and most people in an image.
_SCENES_LIKE = {
    "shanghaitech/part_a": (surroundings.LIGHTS, 33, 4000),
    "shanghaitech/part_b": (_DAY, 10, 600),
    "ucf_qnrf": (surroundings.LIGHTS, 400, 4000),
    "ucf_cc_50": (surroundings.LIGHTS, 400, 4000),
    "worldexpo10": (_DAY, 0, 1000),
}


class Builder(base.CrowdDatasetBuilder):
    """Crowds of rendered people: clean renders (`source`), scenes in photographs with their defects (`target`), others."""

    # Raise it when the pictures change. Otherwise the sets on disk stay as they were drawn.
    VERSION = tfds.core.Version("1.10.0")
    DESCRIPTION = "Crowds of rendered people with the position of every head."
    MANUAL_DOWNLOAD_INSTRUCTIONS = None
    BUILDER_CONFIGS = [
        Config(
            name="source", domain="source", train=240, test=20, description="Clean renders of painted places."
        ),
        Config(
            name="target",
            domain="target",
            train=240,
            test=200,
            description="People in photographs of real places, as an ordinary camera takes them.",
        ),
        # For choosing settings. The target's test images are for the final numbers only.
        Config(
            name="validation", domain="target", train=0, test=200, seed=1, description="More target images."
        ),
        # Larger, at the size of the photographs and renders that they are mixed with.
        Config(
            name="crowds",
            domain="crowds",
            train=800,
            test=100,
            height=512,
            width=768,
            description="Crowds of rendered people in many places; one image in five shows nobody.",
        ),
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

    @property
    def SCENE_FIELDS(self) -> tuple[str, ...]:  # pyright: ignore[reportIncompatibleVariableOverride]
        """Only `crowds` describes its scenes."""
        return crowds.FIELDS if self.builder_config.domain == "crowds" else ()

    @staticmethod
    def scenes_like(scenes: Sequence[Sequence[int]], target: str) -> list[int]:
        """Return the indices of the scenes that resemble a target: in its light, and with about as many people.

        The numbers of people are those that scene regularization uses with GCC (see `builders/gcc.py`).
        """
        if target not in _SCENES_LIKE:
            raise ConfigError(f"config.source.scenes={target!r}: there are {', '.join(_SCENES_LIKE)}")
        lights, low, high = _SCENES_LIKE[target]
        rows = [dict(zip(crowds.FIELDS, scene, strict=True)) for scene in scenes]
        return [
            i
            for i, row in enumerate(rows)
            if surroundings.LIGHTS[row["light"]] in lights and low <= row["count"] <= high
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
    height, width = config.height, config.width
    described: tuple[int, ...] = ()
    if config.domain == "clutter":
        scene = scenes.Scene(
            clutter.render(seed, index, height=height, width=width), np.zeros((0, 2), np.float32)
        )
    elif config.domain == "crowds":
        scene = crowds.render(seed, index, height=height, width=width)
        described = tuple(scene.parameters[name] for name in crowds.FIELDS)
    else:
        scene = crowds.render(seed, index, look=config.domain, height=height, width=width)
    image = images.encode_image(scene.image, ".jpg", 95)
    return base.RawImage(
        f"{split}_{index:05d}",
        image,
        scene.points,
        scene=described,
        height=config.height,
        width=config.width,
    )
