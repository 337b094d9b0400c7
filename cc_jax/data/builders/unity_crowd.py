"""Unity crowd renders: `images/IMG_n.jpg`, `ground_truth_txt/IMG_n.txt` with lines `x y`, y from the bottom.

The set comes without splits and its renders look alike. A random split would put near-duplicates on both sides, so
images whose perceptual hashes are close go to the same side, all the groups that this makes: see `split`.
"""

import hashlib
import os
import pathlib
from concurrent import futures

import numpy as np
import tensorflow_datasets as tfds

from cc_jax.data import images, twins
from cc_jax.data.builders import base, labels
from cc_jax.errors import ConfigError, InputError

NEAR = (
    16  # bits of 63 in which the hashes of two scenes alike differ at most; unrelated ones differ in about 31
)
_TEST_SHARE = 0.2


class UnityCrowd(base.CrowdDatasetBuilder):
    """232 renders of dense crowds from a game engine, in the public domain."""

    VERSION = tfds.core.Version("1.0.0")
    DESCRIPTION = "Renders of crowds from the Unity engine with the position of every head."
    MANUAL_DOWNLOAD_INSTRUCTIONS = "--manual_dir is the folder that holds images and ground_truth_txt."

    def totals(self) -> dict[str, base.Total]:
        return {base.ALL: base.Total(232, 97_399)}

    def raw(self, manual_dir: pathlib.Path) -> base.Raw:
        for name in ("images", "ground_truth_txt"):
            if not (manual_dir / name).is_dir():
                raise ConfigError(f"--manual_dir={manual_dir}: has no folder {name}")
        pictures = {path.stem: path for path in images.list_images(manual_dir / "images")}
        if not pictures:
            raise InputError(f"{manual_dir / 'images'}: holds no image")
        truths = {path.stem: path for path in sorted((manual_dir / "ground_truth_txt").glob("*.txt"))}
        notes = base.missing(
            "images", pictures, [f"IMG_{n + 1}" for n in range(self.totals()[base.ALL].images)]
        )
        frames, problems = base.paired(pictures, truths, _frame)
        try:
            splits = split(frames)
        except InputError as error:  # an image that cannot be decoded has no hash to split by
            splits, problems = {}, [*problems, str(error)]
        return base.Raw(splits, tuple(notes), tuple(problems))


def _frame(stem: str, image: pathlib.Path, truth: pathlib.Path) -> base.RawImage:
    """The labels measure y from the lower edge; here it is from the upper one, as everywhere else."""
    points, (height, _) = labels.read_text(truth), images.read_size(image)
    return base.RawImage(stem, image, np.stack([points[:, 0], height - points[:, 1]], axis=1))


def split(frames: list[base.RawImage]) -> dict[str, list[base.RawImage]]:
    """Train and test without near-duplicates across: the same images always give the same split.

    Images are linked when their hashes differ in at most `NEAR` bits; what is linked, directly or through others,
    is a group. Groups in an order given by the digest of their members' names go to `test` while they fit in a
    fifth of the images, the others to `train`.
    """
    with futures.ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        hashes = np.stack(list(pool.map(_hash, (frame.image for frame in frames))))
    groups: dict[int, list[int]] = {}
    for index, group in enumerate(twins.link(hashes, NEAR)):
        groups.setdefault(group, []).append(index)
    test, room = set(), round(_TEST_SHARE * len(frames))
    for members in sorted(groups.values(), key=lambda group: _digest(frames[group[0]].id)):
        if len(test) + len(members) <= room:
            test.update(members)
    sides = {"train": [], "test": []}
    for index, frame in enumerate(frames):
        sides["test" if index in test else "train"].append(frame)
    return {side: members for side, members in sides.items() if members}


def _hash(image: pathlib.Path | bytes) -> np.ndarray:
    return twins.perceptual_hash(images.read_image(image))


def _digest(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()


Builder = UnityCrowd
