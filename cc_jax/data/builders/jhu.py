"""JHU-CROWD++ (Sindagi et al., TPAMI 2020): photographs from the web in all kinds of weather.

Published totals: 4,372 images (2,272 training, 500 validation, 1,600 test) and 1,515,005 people.

Layout: `train`, `val` and `test`, each with `images/0001.jpg` and `gt/0001.txt`. A line of a label file is `x y w h o b`:
center, width and height of the head's box, occlusion, blur. Only x and y are kept. An empty file means that the image
shows nobody.
"""

import pathlib

import tensorflow_datasets as tfds

from cc_jax.data import images
from cc_jax.data.builders import base, labels, notes, pairing

_IMAGES = {"train": 2272, "val": 500, "test": 1600}


class Builder(base.CrowdDatasetBuilder):
    """JHU-CROWD++ with the authors' splits."""

    VERSION = tfds.core.Version("1.0.0")
    DESCRIPTION = "Photographs of crowds from the web in all kinds of weather, 0 to 25,791 people."
    HOMEPAGE = "http://www.crowd-counting.com"
    CITATION = """@article{sindagi2020jhu, title={{JHU-CROWD++}: Large-scale crowd counting dataset and a benchmark
method}, author={Sindagi, Vishwanath A and Yasarla, Rajeev and Patel, Vishal M}, journal={TPAMI}, year={2020}}"""
    MANUAL_DOWNLOAD_INSTRUCTIONS = "--manual_dir is the folder that holds train, val and test."

    def totals(self) -> dict[str, base.Total]:
        return {
            **{split: base.Total(count, None) for split, count in _IMAGES.items()},
            base.ALL: base.Total(sum(_IMAGES.values()), 1_515_005),
        }

    def raw(self, manual_dir: pathlib.Path) -> base.Raw:
        root = pairing.find_root(manual_dir, ["jhu_crowd_v2.0"], list(_IMAGES))
        splits, remarks, problems = {}, [], []
        for split in _IMAGES:
            folder = root / split
            if not folder.is_dir():
                remarks.append(notes.missing_split(folder, split))
                continue
            image_files = {path.stem: path for path in images.list_images(folder / "images")}
            label_files = {path.stem: path for path in sorted((folder / "gt").glob("*.txt"))}
            splits[split], more_problems = pairing.pair(
                image_files,
                label_files,
                lambda stem, image_file, label_file, split=split: base.RawImage(
                    f"{split}/{stem}", image_file, labels.read_text(label_file, columns=6)
                ),
            )
            problems += more_problems
        return base.Raw(splits, tuple(remarks), tuple(problems))
