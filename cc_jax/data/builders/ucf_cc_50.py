"""UCF_CC_50 (Idrees et al., CVPR 2013): `n.jpg` and `n_ann.mat` for n from 1 to 50, `annPoints` (x, y).

Results on it are means of a five-fold cross-validation, and its authors have not published the folds. Ours are the
splits `fold_1` to `fold_5`: images 1 to 10, 11 to 20, ... Train on "fold_2+fold_3+fold_4+fold_5", test on "fold_1".
"""

import pathlib

import tensorflow_datasets as tfds

from cc_jax.data import images
from cc_jax.data.builders import base, labels

FOLDS, _IMAGES = 5, 50


class UcfCc50(base.CrowdDatasetBuilder):
    """50 grey images of very dense crowds."""

    name = "ucf_cc_50"  # TFDS would make it ucf_cc50

    VERSION = tfds.core.Version("1.0.0")
    DESCRIPTION = "Very dense crowds of the web, all grey, 94 to 4,543 people."
    CITATION = """@inproceedings{idrees2013multi, title={Multi-source multi-scale counting in extremely dense crowd
images}, author={Idrees, Haroon and others}, booktitle={CVPR}, year={2013}}"""
    MANUAL_DOWNLOAD_INSTRUCTIONS = "--manual_dir is the folder that holds 1.jpg and 1_ann.mat."

    def totals(self) -> dict[str, base.Total]:
        return {base.ALL: base.Total(_IMAGES, 63_974)}

    def raw(self, manual_dir: pathlib.Path) -> base.Raw:
        root = base.folder_of(manual_dir, ["UCF_CC_50", "UCF_CC_50/UCF_CC_50"], ["1.jpg", "1_ann.mat"])
        pictures = {path.stem: path for path in images.list_images(root) if path.parent == root}
        truths = {path.stem.removesuffix("_ann"): path for path in sorted(root.glob("*_ann.mat"))}
        names = [str(n + 1) for n in range(_IMAGES)]
        notes = base.missing("images", pictures, names)
        known = {name: pictures[name] for name in names if name in pictures}
        frames, problems = base.paired(
            known, {name: truths[name] for name in names if name in truths},
            lambda name, picture, truth: base.RawImage(name, picture, labels.read_mat(truth)),
        )  # fmt: skip
        folds: dict[str, list[base.RawImage]] = {}
        for frame in frames:
            folds.setdefault(f"fold_{fold_of(int(frame.id))}", []).append(frame)
        return base.Raw(folds, tuple(notes), tuple(problems))


def fold_of(number: int) -> int:
    """The fold, 1 to 5, whose test image `number`, 1 to 50, is."""
    return (number - 1) * FOLDS // _IMAGES + 1


Builder = UcfCc50
