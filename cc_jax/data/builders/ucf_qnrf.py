"""UCF-QNRF (Idrees et al., ECCV 2018): `Train`, `Test` / `img_0001.jpg`, `img_0001_ann.mat`, `annPoints` (x, y).

The images are stored as they are, up to 6,000 pixels wide. At which size they are looked at decides the number that comes
out, and is a field of the config: see `config.resize`.
"""

import pathlib

import tensorflow_datasets as tfds

from cc_jax.data import images
from cc_jax.data.builders import base, labels

_FOLDERS = {"train": "Train", "test": "Test"}


class UcfQnrf(base.CrowdDatasetBuilder):
    """UCF-QNRF with the authors' splits."""

    VERSION = tfds.core.Version("1.0.0")
    DESCRIPTION = "Large photographs of crowds of the web, 49 to 12,865 people."
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
        root = base.folder_of(manual_dir, ["UCF-QNRF_ECCV18", "UCF-QNRF"], list(_FOLDERS.values()))
        splits, notes, problems = {}, [], []
        for split, name in _FOLDERS.items():
            folder = root / name
            if not folder.is_dir():
                notes.append(base.absent(folder, split))
                continue
            pictures = {path.stem: path for path in images.list_images(folder)}
            truths = {path.stem.removesuffix("_ann"): path for path in sorted(folder.glob("*_ann.mat"))}
            expected = [f"img_{n + 1:04d}" for n in range(self.totals()[split].images)]
            notes += base.missing(split, pictures, expected)
            splits[split], wrong = base.paired(
                pictures, truths,
                lambda stem, picture, truth, split=split: base.RawImage(
                    f"{split}_{stem}", picture, labels.read_mat(truth)
                ),
            )  # fmt: skip
            problems += wrong
        return base.Raw(splits, tuple(notes), tuple(problems))


Builder = UcfQnrf
