"""WorldExpo'10 (Zhang et al., CVPR 2015): surveillance cameras, each with a region of interest in which people count.

Layout: `train_frame/<name>.jpg`, whose first six characters are the camera, with `train_label/<camera>/<name>.mat` and
`roi.mat`; `test_frame/<scene>/<name>.jpg` with `test_label/<scene>/<name>.mat` and `roi.mat` for five scenes.
Ids are "camera/name". The error is a mean over each scene, then over the five. Frames with nobody in the region count.
"""

import pathlib
from collections.abc import Iterable

import tensorflow_datasets as tfds

from cc_jax.data import images
from cc_jax.data.builders import base, labels
from cc_jax.errors import InputError

SCENES = ("104207", "200608", "200702", "202201", "500717")  # S1 to S5 of the tables
_CAMERA = 6  # characters of a training frame's name


class Worldexpo10(base.CrowdDatasetBuilder):
    """WorldExpo'10: 103 cameras to train on, five scenes to test on."""

    VERSION = tfds.core.Version("1.0.0")
    DESCRIPTION = "Frames of 720x576 from 108 surveillance cameras of the Shanghai 2010 World Expo."
    CITATION = """@inproceedings{zhang2015cross, title={Cross-scene crowd counting via deep convolutional neural
networks}, author={Zhang, Cong and others}, booktitle={CVPR}, year={2015}}"""
    MANUAL_DOWNLOAD_INSTRUCTIONS = (
        "--manual_dir is the folder that holds train_frame, train_label, test_frame and test_label."
    )

    SCENES_APART = True

    def totals(self) -> dict[str, base.Total]:
        return {
            "train": base.Total(3380, None),
            "test": base.Total(600, None),
            base.ALL: base.Total(3980, 199_932),
        }

    def raw(self, manual_dir: pathlib.Path) -> base.Raw:
        root = base.folder_of(manual_dir, ["worldexpo", "WorldExpo10", "WE"], ["train_frame", "test_frame"])
        splits, notes, problems = {}, [], []
        for split in ("train", "test"):
            frames, truths = root / f"{split}_frame", root / f"{split}_label"
            if not frames.is_dir():
                notes.append(base.absent(frames, split))
                continue
            pictures = {_id(frames, path): path for path in images.list_images(frames)}
            found = {
                f"{path.parent.name}/{path.stem}": path for path in sorted(truths.glob("*/*.mat")) if path.stem != "roi"
            }  # fmt: skip
            regions, wrong = _regions(truths, {id.split("/")[0] for id in pictures})
            splits[split], more = base.paired(
                pictures, found,
                lambda id, picture, truth, regions=regions: base.RawImage(
                    id, picture, labels.read_mat(truth, ["point_position"]), roi=_region(regions, id, truth)
                ),
            )  # fmt: skip
            problems += wrong + more
        cameras = {frame.id.split("/")[0] for frame in splits.get("test", ())}
        lost = [scene for scene in SCENES if "test" in splits and scene not in cameras]
        notes += [f"test: scenes without a frame: {', '.join(lost)}"] if lost else []
        return base.Raw(splits, tuple(notes), tuple(problems))


def _id(folder: pathlib.Path, path: pathlib.Path) -> str:
    """ "camera/name"; the camera is a test frame's folder, and the beginning of a training frame's name."""
    camera = path.stem[:_CAMERA] if path.parent == folder else path.parent.name
    return f"{camera}/{path.stem}"


def _regions(truths: pathlib.Path, cameras: Iterable[str]) -> tuple[dict[str, labels.Points], list[str]]:
    """The region of every camera that has one, and what is wrong with the others."""
    regions, problems = {}, []
    for camera in sorted(cameras):
        try:
            regions[camera] = labels.read_polygon(truths / camera / "roi.mat")
        except InputError as error:
            problems.append(str(error))
    return regions, problems


def _region(regions: dict[str, labels.Points], id: str, truth: pathlib.Path) -> labels.Points:
    camera = id.split("/")[0]
    if camera not in regions:
        raise InputError(f"{truth}: its camera {camera} has no region of interest")
    return regions[camera]


Builder = Worldexpo10
