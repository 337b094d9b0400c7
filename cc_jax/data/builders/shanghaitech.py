"""ShanghaiTech (Zhang et al., CVPR 2016): photographs from the web (part A) and of Shanghai's streets (part B).

Published totals: part A has 482 images (300 training, 182 test) and 241,677 people; part B has 716 images (400 training,
316 test) and 88,488 people. The files in circulation sum to 241,275 and 88,272 people, as their own `number` fields do,
and `prepare` compares with these. License: for research only, no redistribution.

Layout, in either of the two spellings in circulation: `part_A_final` or `part_A`, then `train_data` or `test_data`, then
`images/IMG_n.jpg` and `ground_truth/GT_IMG_n.mat` or `ground-truth/GT_IMG_n.mat`, with the points (x, y) in `image_info`.
A split that is missing is left out, and `prepare` says so.

A label that belongs to another image is recognized by the digest of its points. shanghaitech.txt lists the digests of the
files in circulation, except for the test split of part B.
"""

import pathlib
import re

import tensorflow_datasets as tfds

from cc_jax.data import images
from cc_jax.data.builders import base, labels, notes, pairing
from cc_jax.errors import ConfigError, InputError

_TOTALS = {
    "part_a": {"train": base.Total(300, 162_413), "test": base.Total(182, 78_862)},
    "part_b": {"train": base.Total(400, 49_151), "test": base.Total(316, 39_121)},
}


class Builder(base.CrowdDatasetBuilder):
    """ShanghaiTech with the authors' splits."""

    VERSION = tfds.core.Version("1.0.0")
    DESCRIPTION = (
        "Crowds from the web (part A) and on Shanghai's streets (part B) with the position of every head."
    )
    HOMEPAGE = "https://github.com/desenzhou/ShanghaiTechDataset"
    CITATION = """@inproceedings{zhang2016single, title={Single-image crowd counting via multi-column
convolutional neural network}, author={Zhang, Yingying and others}, booktitle={CVPR}, year={2016}}"""
    MANUAL_DOWNLOAD_INSTRUCTIONS = (
        "--manual_dir is the folder that holds part_A_final (or part_A) and part_B_final."
    )
    BUILDER_CONFIGS = [
        tfds.core.BuilderConfig(name="part_a", description="Web images of all sizes, 33 to 3,139 people."),
        tfds.core.BuilderConfig(name="part_b", description="Streets, all 1024x768, 9 to 578 people."),
    ]

    def totals(self) -> dict[str, base.Total]:
        return _TOTALS[self.builder_config.name]

    def raw(self, manual_dir: pathlib.Path) -> base.Raw:
        root = _find_part(manual_dir, self.builder_config.name)
        splits, remarks, problems = {}, [], []
        for split, total in self.totals().items():
            folder = root / f"{split}_data"
            if not folder.is_dir():
                remarks.append(notes.missing_split(folder, split))
                continue
            splits[split], more_remarks, more_problems = _read_split(
                folder, self.builder_config.name, split, total
            )
            remarks += more_remarks
            problems += more_problems
        if not splits:
            raise ConfigError(f"{root}: contains neither train_data nor test_data; is the download complete?")
        return base.Raw(splits, tuple(remarks), tuple(problems))


def _find_part(manual_dir: pathlib.Path, config: str) -> pathlib.Path:
    """Return the folder of a part.

    Raises:
      ConfigError: There is none.
    """
    letter = config[-1].upper()
    spellings = [f"part_{letter}_final", f"part_{letter}"]
    for name in spellings:
        if (manual_dir / name).is_dir():
            return manual_dir / name
    raise ConfigError(f"--manual_dir={manual_dir}: contains no folder {' or '.join(spellings)}")


def _read_split(
    folder: pathlib.Path, part: str, split: str, total: base.Total
) -> tuple[list[base.RawImage], list[str], list[str]]:
    """Return the images of a split, notes on what differs from the published files, and a line per problem."""
    image_files = {path.stem: path for path in images.list_images(folder / "images")}
    label_files = {
        path.stem.removeprefix("GT_"): path for path in sorted(_find_labels(folder).glob("GT_*.mat"))
    }
    remarks = notes.missing_images(split, image_files, [f"IMG_{n + 1}" for n in range(total.images)])

    def read(stem: str, image_file: pathlib.Path, label_file: pathlib.Path) -> base.RawImage:
        points, number = labels.read_mat(label_file), labels.read_number(label_file)
        if number is not None and number != len(points):
            remarks.append(
                f"{label_file}: states {number} people but holds {len(points)} points; the points are used"
            )
        return base.RawImage(f"{split}_{stem}", image_file, points)

    raw_images, problems = pairing.pair(image_files, label_files, read)
    unexpected, compared = _unexpected_labels(raw_images, part, split)
    if 2 * len(unexpected) > compared:
        remarks.append(
            f"{split}: {len(unexpected)} of {compared} labels differ from the published ones; they are used as they are"
        )
    else:
        problems += [
            f"{label_files[stem]}: its points differ from the published ones; does it belong to another image?"
            for stem in unexpected
        ]
    return raw_images, remarks, problems


def _unexpected_labels(raw_images: list[base.RawImage], part: str, split: str) -> tuple[list[str], int]:
    """Compare the points with the digests in shanghaitech.txt.

    Returns:
      The names of the images whose points differ, and the number of images that have a published digest.
    """
    path = pathlib.Path(__file__).with_suffix(".txt")
    rows = [words for words in labels.read_rows(path) if words[:2] == [part, split]]
    published = {stem: digest for _, _, stem, digest in rows}
    by_stem = {raw_image.id.removeprefix(f"{split}_"): raw_image for raw_image in raw_images}
    compared = {stem: raw_image for stem, raw_image in by_stem.items() if stem in published}
    unexpected = [
        stem for stem, raw_image in compared.items() if labels.digest(raw_image.points) != published[stem]
    ]
    return unexpected, len(compared)


def _find_labels(folder: pathlib.Path) -> pathlib.Path:
    """Return the folder with the labels of a split.

    Raises:
      InputError: There is none.
    """
    for path in sorted(folder.iterdir()):
        if path.is_dir() and re.fullmatch("ground[-_ ]?truth", path.name, re.IGNORECASE):
            return path
    raise InputError(f"{folder}: contains no folder ground_truth or ground-truth; is the download complete?")
