"""Unity crowd renders: 232 images of dense crowds from a game engine. License: public domain (Unlicense).

Published totals: 232 images and 97,399 people. People who are hidden are labelled too, so a counter that is right about
these labels counts too many in photographs; see docs/results/counter.md.

Layout: `images/IMG_n.jpg` and `ground_truth_txt/IMG_n.txt`, with lines `x y` where y is measured from the bottom.

The dataset comes without splits, and many renders look alike. A random split would put near-duplicates on both sides, so
images with similar perceptual hashes go to the same side: see `split`.
"""

import hashlib
import os
import pathlib
from concurrent import futures

import numpy as np
import tensorflow_datasets as tfds

from cc_jax.data import images, twins
from cc_jax.data.builders import base, labels, notes, pairing
from cc_jax.errors import ConfigError, InputError

# Two images of one scene differ in at most this many of the 63 bits of their hashes. Unrelated images differ in about 31.
MAX_BITS = 16
_TEST_SHARE = 0.2


class Builder(base.CrowdDatasetBuilder):
    """Unity crowd renders, split without near-duplicates across."""

    VERSION = tfds.core.Version("1.0.0")
    DESCRIPTION = "Renders of crowds from the Unity engine with the position of every head."
    MANUAL_DOWNLOAD_INSTRUCTIONS = "--manual_dir is the folder that holds images and ground_truth_txt."

    def totals(self) -> dict[str, base.Total]:
        return {base.ALL: base.Total(232, 97_399)}

    def raw(self, manual_dir: pathlib.Path) -> base.Raw:
        for name in ("images", "ground_truth_txt"):
            if not (manual_dir / name).is_dir():
                raise ConfigError(f"--manual_dir={manual_dir}: contains no folder {name}")
        image_files = {path.stem: path for path in images.list_images(manual_dir / "images")}
        if not image_files:
            raise InputError(f"{manual_dir / 'images'}: contains no image")
        label_files = {path.stem: path for path in sorted((manual_dir / "ground_truth_txt").glob("*.txt"))}
        expected = [f"IMG_{n + 1}" for n in range(self.totals()[base.ALL].images)]
        remarks = notes.missing_images(base.ALL, image_files, expected)
        raw_images, problems = pairing.pair(image_files, label_files, _read)
        try:
            splits = split(raw_images)
        except InputError as error:  # an image that cannot be decoded has no hash
            splits, problems = {}, [*problems, str(error)]
        return base.Raw(splits, tuple(remarks), tuple(problems))


def _read(stem: str, image_file: pathlib.Path, label_file: pathlib.Path) -> base.RawImage:
    """Read an image and its points. The label file measures y from the bottom, `RawImage` from the top."""
    points, (height, _) = labels.read_text(label_file), images.read_size(image_file)
    return base.RawImage(stem, image_file, np.stack([points[:, 0], height - points[:, 1]], axis=1))


def split(raw_images: list[base.RawImage]) -> dict[str, list[base.RawImage]]:
    """Split images into train and test, without near-duplicates across. The same images always give the same split.

    Two images are linked if their hashes differ in at most `MAX_BITS` bits. Images that are linked directly or through
    others are a group. Groups are sorted by the digest of the name of their first image. They go to `test` one after the
    other as long as they fit into a fifth of the images, the other groups go to `train`.

    Raises:
      InputError: An image cannot be read.
    """
    with futures.ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        hashes = np.stack(list(pool.map(_hash, (raw_image.image for raw_image in raw_images))))
    groups: dict[int, list[int]] = {}
    for index, group in enumerate(twins.link(hashes, MAX_BITS)):
        groups.setdefault(group, []).append(index)
    test, room = set(), round(_TEST_SHARE * len(raw_images))
    for members in sorted(groups.values(), key=lambda group: _digest(raw_images[group[0]].id)):
        if len(test) + len(members) <= room:
            test.update(members)
    sides = {"train": [], "test": []}
    for index, raw_image in enumerate(raw_images):
        sides["test" if index in test else "train"].append(raw_image)
    return {side: members for side, members in sides.items() if members}


def _hash(image: pathlib.Path | bytes) -> np.ndarray:
    return twins.perceptual_hash(images.read_image(image))


def _digest(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()
