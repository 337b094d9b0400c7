"""NWPU-Crowd (Wang et al., TPAMI 2020): 5,109 images, those to test on without labels.

Layout: `images/0001.jpg` (or `images_part1` to `images_part5`, as downloaded), `jsons/0001.json` with `points` or
`mats/0001.mat` with `annPoints`, and the lists `train.txt`, `val.txt`, `test.txt`, whose lines begin with an image's
number. What a counter says of `test` goes to the authors' server: `cc_jax.evaluate --dataset=nwpu --split=test` writes it.
"""

import pathlib
from collections.abc import Sequence

import tensorflow_datasets as tfds

from cc_jax.data import images
from cc_jax.data.builders import base, labels
from cc_jax.errors import InputError

_IMAGES = {"train": 3109, "val": 500, "test": 1500}


class Nwpu(base.CrowdDatasetBuilder):
    """NWPU-Crowd with the authors' splits."""

    VERSION = tfds.core.Version("1.0.0")
    DESCRIPTION = "Crowds of the web, 0 to 20,033 people, some without anybody."
    CITATION = """@article{wang2020nwpu, title={{NWPU-Crowd}: A large-scale benchmark for crowd counting and localization},
author={Wang, Qi and Gao, Junyu and Lin, Wei and Li, Xuelong}, journal={TPAMI}, year={2020}}"""
    MANUAL_DOWNLOAD_INSTRUCTIONS = (
        "--manual_dir is the folder that holds images, jsons (or mats), train.txt, val.txt and test.txt."
    )

    @staticmethod
    def submission(rows: Sequence[dict]) -> str:
        """A line an image, its number and its count (crowdbenchmark.com, guideline for counting)."""
        return "".join(f"{row['id']} {row['count']:.4f}\n" for row in sorted(rows, key=lambda row: row["id"]))

    def totals(self) -> dict[str, base.Total]:
        return {split: base.Total(count, None) for split, count in _IMAGES.items()}

    def raw(self, manual_dir: pathlib.Path) -> base.Raw:
        root = base.folder_of(manual_dir, ["NWPU-Crowd", "NWPU"], [f"{split}.txt" for split in _IMAGES])
        folders = [path for path in sorted(root.glob("images*")) if path.is_dir()]
        pictures = {path.stem: path for folder in folders for path in images.list_images(folder)}
        truths = {path.stem: path for path in sorted([*root.glob("mats/*.mat"), *root.glob("jsons/*.json")])}
        splits, notes, problems = {}, [], []
        for split in _IMAGES:
            if not (root / f"{split}.txt").is_file():
                notes.append(base.absent(root / f"{split}.txt", split))
                continue
            listed = [words[0] for words in labels.read_rows(root / f"{split}.txt")]
            notes += base.missing(split, [name for name in listed if name in pictures], listed)
            chosen = {name: pictures[name] for name in listed if name in pictures}
            if split == "test":
                splits[split] = [
                    base.RawImage(name, path, labels.NOBODY, labelled=False) for name, path in chosen.items()
                ]
                continue
            splits[split], wrong = base.paired(
                chosen, {name: truths[name] for name in listed if name in truths}, _frame
            )
            problems += wrong
        if not any(splits.values()):
            raise InputError(
                f"{root}: holds none of the listed images, in images or images_part1 to images_part5"
            )
        return base.Raw(splits, tuple(notes), tuple(problems))


def _frame(name: str, picture: pathlib.Path, truth: pathlib.Path) -> base.RawImage:
    return base.RawImage(name, picture, labels.READERS[truth.suffix](truth))


Builder = Nwpu
