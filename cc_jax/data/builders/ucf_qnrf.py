"""UCF-QNRF (Idrees et al., ECCV 2018): large photographs of crowds from the web.

Published totals: 1,535 images (1,201 training, 334 test) and 1,251,642 people, 49 to 12,865 in an image.

Layout: `Train` and `Test`, each with `img_0001.jpg` and `img_0001_ann.mat`, with the points (x, y) in `annPoints`.

The images are stored at their own size, up to 6,000 pixels wide. The size at which the network sees them has a large
effect on the published numbers. It is set by `config.resize`.
"""

import pathlib

import tensorflow_datasets as tfds

from cc_jax.data import images
from cc_jax.data.builders import base, labels, notes, pairing

_FOLDERS = {"train": "Train", "test": "Test"}


class Builder(base.CrowdDatasetBuilder):
    """UCF-QNRF with the authors' splits."""

    VERSION = tfds.core.Version("1.0.0")
    DESCRIPTION = "Large photographs of crowds from the web, 49 to 12,865 people."
    CITATION = """@inproceedings{idrees2018composition, title={Composition loss for counting, density map estimation and
localization in dense crowds}, author={Idrees, Haroon and others}, booktitle={ECCV}, year={2018}}"""
    MANUAL_DOWNLOAD_INSTRUCTIONS = "--manual_dir is the folder that holds Train and Test."

    def totals(self) -> dict[str, base.Total]:
        return {
            "train": base.Total(1201, None),
            "test": base.Total(334, None),
            base.ALL: base.Total(1535, 1_251_642),
        }

    def raw(self, manual_dir: pathlib.Path) -> base.Raw:
        root = pairing.find_root(manual_dir, ["UCF-QNRF_ECCV18", "UCF-QNRF"], list(_FOLDERS.values()))
        splits, remarks, problems = {}, [], []
        for split, name in _FOLDERS.items():
            folder = root / name
            if not folder.is_dir():
                remarks.append(notes.missing_split(folder, split))
                continue
            image_files = {path.stem: path for path in images.list_images(folder)}
            label_files = {path.stem.removesuffix("_ann"): path for path in sorted(folder.glob("*_ann.mat"))}
            expected = [f"img_{n + 1:04d}" for n in range(self.totals()[split].images)]
            remarks += notes.missing_images(split, image_files, expected)
            splits[split], more_problems = pairing.pair(
                image_files,
                label_files,
                lambda stem, image_file, label_file, split=split: base.RawImage(
                    f"{split}_{stem}", image_file, labels.read_mat(label_file)
                ),
            )
            problems += more_problems
        return base.Raw(splits, tuple(remarks), tuple(problems))
