"""UCF_CC_50 (Idrees et al., CVPR 2013): 50 grey images of very dense crowds.

Published totals: 50 images and 63,974 people, 94 to 4,543 in an image.

Layout: `n.jpg` and `n_ann.mat` for n from 1 to 50, with the points (x, y) in `annPoints`.

Published results are means of a five-fold cross-validation, but the authors have not published the folds. The splits here
are `fold_1` (images 1 to 10) to `fold_5` (images 41 to 50): train on "fold_2+fold_3+fold_4+fold_5" and test on "fold_1",
and so on.
"""

import pathlib

import tensorflow_datasets as tfds

from cc_jax.data import images
from cc_jax.data.builders import base, labels, notes, pairing

FOLDS, _IMAGES = 5, 50


class Builder(base.CrowdDatasetBuilder):
    """UCF_CC_50 in five folds of ten images."""

    VERSION = tfds.core.Version("1.0.0")
    DESCRIPTION = "Very dense crowds from the web, all grey, 94 to 4,543 people."
    CITATION = """@inproceedings{idrees2013multi, title={Multi-source multi-scale counting in extremely dense crowd
images}, author={Idrees, Haroon and others}, booktitle={CVPR}, year={2013}}"""
    MANUAL_DOWNLOAD_INSTRUCTIONS = "--manual_dir is the folder that holds 1.jpg and 1_ann.mat."

    def totals(self) -> dict[str, base.Total]:
        return {base.ALL: base.Total(_IMAGES, 63_974)}

    def raw(self, manual_dir: pathlib.Path) -> base.Raw:
        root = pairing.find_root(manual_dir, ["UCF_CC_50", "UCF_CC_50/UCF_CC_50"], ["1.jpg", "1_ann.mat"])
        image_files = {path.stem: path for path in images.list_images(root) if path.parent == root}
        label_files = {path.stem.removesuffix("_ann"): path for path in sorted(root.glob("*_ann.mat"))}
        names = [str(n + 1) for n in range(_IMAGES)]
        raw_images, problems = pairing.pair(
            {name: image_files[name] for name in names if name in image_files},
            {name: label_files[name] for name in names if name in label_files},
            lambda name, image_file, label_file: base.RawImage(name, image_file, labels.read_mat(label_file)),
        )
        folds: dict[str, list[base.RawImage]] = {}
        for raw_image in raw_images:
            folds.setdefault(f"fold_{fold_of(int(raw_image.id))}", []).append(raw_image)
        remarks = notes.missing_images(base.ALL, image_files, names)
        return base.Raw(folds, tuple(remarks), tuple(problems))


def fold_of(number: int) -> int:
    """Return the fold, 1 to 5, that image `number`, 1 to 50, belongs to."""
    return (number - 1) * FOLDS // _IMAGES + 1
