"""NWPU-Crowd (Wang et al., TPAMI 2020): photographs from the web, with a test split whose labels are secret.

Published totals: 5,109 images (3,109 training, 500 validation, 1,500 test) and 2,133,375 people, 0 to 20,033 in an image.

Layout: `images/0001.jpg` (or `images_part1` to `images_part5`, as downloaded), `jsons/0001.json` with `points` or
`mats/0001.mat` with `annPoints`, and the lists `train.txt`, `val.txt` and `test.txt`, whose lines begin with the number of
an image. `python -m cc_jax.evaluate --dataset=nwpu --split=test` writes the file for the authors' evaluation server.
"""

import pathlib
from collections.abc import Sequence

import tensorflow_datasets as tfds

from cc_jax.data import images
from cc_jax.data.builders import base, labels, notes, pairing
from cc_jax.errors import InputError

_IMAGES = {"train": 3109, "val": 500, "test": 1500}


class Builder(base.CrowdDatasetBuilder):
    """NWPU-Crowd with the authors' splits."""

    VERSION = tfds.core.Version("1.0.0")
    DESCRIPTION = "Photographs of crowds from the web, 0 to 20,033 people."
    HOMEPAGE = "https://www.crowdbenchmark.com"
    CITATION = """@article{wang2020nwpu, title={{NWPU-Crowd}: A large-scale benchmark for crowd counting and localization},
author={Wang, Qi and Gao, Junyu and Lin, Wei and Li, Xuelong}, journal={TPAMI}, year={2020}}"""
    MANUAL_DOWNLOAD_INSTRUCTIONS = (
        "--manual_dir is the folder that holds images, jsons (or mats), train.txt, val.txt and test.txt."
    )

    @staticmethod
    def submission(rows: Sequence[dict]) -> str:
        """Return a line per image with its number and its count (crowdbenchmark.com, guideline for counting)."""
        return "".join(f"{row['id']} {row['count']:.4f}\n" for row in sorted(rows, key=lambda row: row["id"]))

    def totals(self) -> dict[str, base.Total]:
        return {split: base.Total(count, None) for split, count in _IMAGES.items()}

    def raw(self, manual_dir: pathlib.Path) -> base.Raw:
        root = pairing.find_root(manual_dir, ["NWPU-Crowd", "NWPU"], [f"{split}.txt" for split in _IMAGES])
        folders = [path for path in sorted(root.glob("images*")) if path.is_dir()]
        image_files = {path.stem: path for folder in folders for path in images.list_images(folder)}
        label_files = {
            path.stem: path for path in sorted([*root.glob("mats/*.mat"), *root.glob("jsons/*.json")])
        }
        splits, remarks, problems = {}, [], []
        for split in _IMAGES:
            list_file = root / f"{split}.txt"
            if not list_file.is_file():
                remarks.append(notes.missing_split(list_file, split))
                continue
            listed = [words[0] for words in labels.read_rows(list_file)]
            chosen = {name: image_files[name] for name in listed if name in image_files}
            remarks += notes.missing_images(split, chosen, listed)
            if split == "test":
                splits[split] = [
                    base.RawImage(name, path, labels.NO_POINTS, labelled=False)
                    for name, path in chosen.items()
                ]
                continue
            chosen_labels = {name: label_files[name] for name in listed if name in label_files}
            splits[split], more_problems = pairing.pair(chosen, chosen_labels, _read)
            problems += more_problems
        if not any(splits.values()):
            raise InputError(
                f"{root}: contains none of the listed images, in images or images_part1 to images_part5"
            )
        return base.Raw(splits, tuple(remarks), tuple(problems))


def _read(name: str, image_file: pathlib.Path, label_file: pathlib.Path) -> base.RawImage:
    return base.RawImage(name, image_file, labels.READERS[label_file.suffix](label_file))
