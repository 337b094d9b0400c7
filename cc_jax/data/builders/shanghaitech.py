"""ShanghaiTech (Zhang et al., CVPR 2016): `part_a` of the web, `part_b` of streets.

Layout, in either of the two spellings that circulate, below `--manual_dir`:
`part_A_final` or `part_A` / `train_data`, `test_data` / `images` / `IMG_n.jpg` and
`ground_truth` or `ground-truth` / `GT_IMG_n.mat`, points (x, y) in `image_info`.
A split that is not there is left out, and `prepare` says so. A label that is another image's is told by the digest of
its points: those of the files that circulate stand in shanghaitech.txt (not of B's test split, which was not at hand).
"""

import pathlib
import re

import tensorflow_datasets as tfds

from cc_jax.data import images
from cc_jax.data.builders import base, labels
from cc_jax.errors import ConfigError, InputError

# Images and points of the files that circulate. The paper gives 241,677 and 88,488 people for A and B; the files
# sum to 241,275 and 88,272, as their own `number` fields do.
_TOTALS = {
    "part_a": {"train": base.Total(300, 162_413), "test": base.Total(182, 78_862)},
    "part_b": {"train": base.Total(400, 49_151), "test": base.Total(316, 39_121)},
}


class Shanghaitech(base.CrowdDatasetBuilder):
    """ShanghaiTech with the authors' splits."""

    VERSION = tfds.core.Version("1.0.0")
    DESCRIPTION = (
        "Crowds of the web (part A) and of Shanghai's streets (part B) with the position of every head."
    )
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
        root = _root(manual_dir, self.builder_config.name)
        splits, notes, problems = {}, [], []
        for split, total in self.totals().items():
            folder = root / f"{split}_data"
            if not folder.is_dir():
                notes.append(base.absent(folder, split))
                continue
            splits[split], remarks, wrong = _split(folder, self.builder_config.name, split, total)
            notes += remarks
            problems += wrong
        if not splits:
            raise ConfigError(f"{root}: has neither train_data nor test_data; is the download complete?")
        return base.Raw(splits, tuple(notes), tuple(problems))


def _root(manual_dir: pathlib.Path, config: str) -> pathlib.Path:
    """The folder of a part. Raises ConfigError naming what was looked for."""
    letter = config[-1].upper()
    known = [f"part_{letter}_final", f"part_{letter}"]
    for name in known:
        if (manual_dir / name).is_dir():
            return manual_dir / name
    raise ConfigError(f"--manual_dir={manual_dir}: has no folder {' or '.join(known)}")


def _split(
    folder: pathlib.Path, part: str, split: str, total: base.Total
) -> tuple[list[base.RawImage], list[str], list[str]]:
    """The frames of a split, what differs from the published files, and what is wrong with these."""
    pictures = {path.stem: path for path in images.list_images(folder / "images")}
    truths = {path.stem.removeprefix("GT_"): path for path in sorted(_truths(folder).glob("GT_*.mat"))}
    notes = base.missing(split, pictures, [f"IMG_{n + 1}" for n in range(total.images)])

    def frame(stem: str, picture: pathlib.Path, truth: pathlib.Path) -> base.RawImage:
        points, number = labels.read_mat(truth), labels.read_number(truth)
        if number is not None and number != len(points):
            notes.append(f"{truth}: states {number} people and holds {len(points)} points; the points count")
        return base.RawImage(f"{split}_{stem}", picture, points)

    frames, problems = base.paired(pictures, truths, frame)
    odd, known = _odd(frames, part, split)
    if 2 * len(odd) > known:
        notes.append(
            f"{split}: {len(odd)} of {known} labels are not the published ones; all count as they are"
        )
    else:
        problems += [
            f"{truths[stem]}: its heads are not the published ones; is it another image's?" for stem in odd
        ]
    return frames, notes, problems


def _odd(frames: list[base.RawImage], part: str, split: str) -> tuple[list[str], int]:
    """The images whose points are not those of the files that circulate, and of how many that is known."""
    path = pathlib.Path(__file__).with_suffix(".txt")
    rows = [words for words in labels.read_rows(path) if words[:2] == [part, split]]
    published = {stem: digest for _, _, stem, digest in rows}
    known = {stem: frame for frame in frames if (stem := frame.id.removeprefix(f"{split}_")) in published}
    return [stem for stem, frame in known.items() if labels.digest(frame.points) != published[stem]], len(
        known
    )


def _truths(folder: pathlib.Path) -> pathlib.Path:
    """The folder with the labels of a split. Raises InputError."""
    for path in sorted(folder.iterdir()):
        if path.is_dir() and re.fullmatch("ground[-_ ]?truth", path.name, re.IGNORECASE):
            return path
    raise InputError(f"{folder}: has no folder ground_truth or ground-truth; is the download complete?")


Builder = Shanghaitech
