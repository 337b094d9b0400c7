"""JHU-Crowd++ (Sindagi et al., 2020): `train`, `val`, `test` / `images/0001.jpg`, `gt/0001.txt`.

A line of a label file is `x y w h o b`: the head's middle, its box's width and height, occlusion and blur; only x and y
are kept. An empty file says that nobody is there.
"""

import pathlib

import tensorflow_datasets as tfds

from cc_jax.data import images
from cc_jax.data.builders import base, labels

_IMAGES = {"train": 2272, "val": 500, "test": 1600}


class Jhu(base.CrowdDatasetBuilder):
    """JHU-Crowd++ with the authors' splits."""

    VERSION = tfds.core.Version("1.0.0")
    DESCRIPTION = "Crowds of the web in all weathers, 0 to 25,791 people, some without anybody."
    CITATION = """@article{sindagi2020jhu, title={{JHU-CROWD++}: Large-scale crowd counting dataset and a benchmark
method}, author={Sindagi, Vishwanath A and Yasarla, Rajeev and Patel, Vishal M}, journal={TPAMI}, year={2020}}"""
    MANUAL_DOWNLOAD_INSTRUCTIONS = "--manual_dir is the folder that holds train, val and test."

    def totals(self) -> dict[str, base.Total]:
        return {
            **{split: base.Total(count, None) for split, count in _IMAGES.items()},
            base.ALL: base.Total(sum(_IMAGES.values()), 1_515_005),
        }

    def raw(self, manual_dir: pathlib.Path) -> base.Raw:
        root = base.folder_of(manual_dir, ["jhu_crowd_v2.0"], list(_IMAGES))
        splits, notes, problems = {}, [], []
        for split in _IMAGES:
            folder = root / split
            if not folder.is_dir():
                notes.append(base.absent(folder, split))
                continue
            pictures = {path.stem: path for path in images.list_images(folder / "images")}
            truths = {path.stem: path for path in sorted((folder / "gt").glob("*.txt"))}
            splits[split], wrong = base.paired(
                pictures, truths,
                lambda stem, picture, truth, split=split: base.RawImage(
                    f"{split}/{stem}", picture, labels.read_text(truth, columns=6)
                ),
            )  # fmt: skip
            problems += wrong
        return base.Raw(splits, tuple(notes), tuple(problems))


Builder = Jhu
