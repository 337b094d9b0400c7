"""WorldExpo'10 (Zhang et al., CVPR 2015): frames of surveillance cameras, each with a region of interest (ROI).

Published totals: 3,980 frames (3,380 training, 600 test) and 199,932 people. The test frames are of five scenes.

Layout: `train_frame/<name>.jpg`, where the first six characters of the name are the camera, with
`train_label/<camera>/<name>.mat` and `train_label/<camera>/roi.mat`; `test_frame/<scene>/<name>.jpg` with
`test_label/<scene>/<name>.mat` and `test_label/<scene>/roi.mat`. Points (x, y) are in `point_position`.

Ids are "camera/name". The published error is the mean of the five scenes' errors. Frames without anybody in the ROI count.
"""

import pathlib
from collections.abc import Iterable

import tensorflow_datasets as tfds

from cc_jax.data import images
from cc_jax.data.builders import base, labels, notes, pairing
from cc_jax.errors import InputError

# The test scenes, S1 to S5 in published tables.
SCENES = ("104207", "200608", "200702", "202201", "500717")
# Length of the camera's name at the beginning of a training frame's name.
_CAMERA_LENGTH = 6


class Builder(base.CrowdDatasetBuilder):
    """WorldExpo'10: 103 cameras for training, five scenes for testing."""

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
        root = pairing.find_root(
            manual_dir, ["worldexpo", "WorldExpo10", "WE"], ["train_frame", "test_frame"]
        )
        splits, remarks, problems = {}, [], []
        for split in ("train", "test"):
            image_dir = root / f"{split}_frame"
            if not image_dir.is_dir():
                remarks.append(notes.missing_split(image_dir, split))
                continue
            splits[split], more_problems = _read_split(image_dir, root / f"{split}_label")
            problems += more_problems
        cameras = {raw_image.id.split("/")[0] for raw_image in splits.get("test", ())}
        missing = [scene for scene in SCENES if "test" in splits and scene not in cameras]
        remarks += [f"test: scenes without a frame: {', '.join(missing)}"] if missing else []
        return base.Raw(splits, tuple(remarks), tuple(problems))


def _read_split(image_dir: pathlib.Path, label_dir: pathlib.Path) -> tuple[list[base.RawImage], list[str]]:
    """Return the frames of a split, and a line per problem."""
    image_files = {_id(image_dir, path): path for path in images.list_images(image_dir)}
    label_files = {
        f"{path.parent.name}/{path.stem}": path
        for path in sorted(label_dir.glob("*/*.mat"))
        if path.stem != "roi"
    }
    rois, roi_problems = _read_rois(label_dir, {id.split("/")[0] for id in image_files})

    def read(id: str, image_file: pathlib.Path, label_file: pathlib.Path) -> base.RawImage:
        points = labels.read_mat(label_file, ["point_position"])
        return base.RawImage(id, image_file, points, roi=_roi_of(rois, id, label_file))

    raw_images, problems = pairing.pair(image_files, label_files, read)
    return raw_images, roi_problems + problems


def _id(image_dir: pathlib.Path, path: pathlib.Path) -> str:
    """Return "camera/name". Test frames are in a folder per camera, training frames begin with the camera's name."""
    camera = path.stem[:_CAMERA_LENGTH] if path.parent == image_dir else path.parent.name
    return f"{camera}/{path.stem}"


def _read_rois(label_dir: pathlib.Path, cameras: Iterable[str]) -> tuple[dict[str, labels.Points], list[str]]:
    """Return the ROI of every camera that has a valid one, and a line for each of the others."""
    rois, problems = {}, []
    for camera in sorted(cameras):
        try:
            rois[camera] = labels.read_polygon(label_dir / camera / "roi.mat")
        except InputError as error:
            problems.append(str(error))
    return rois, problems


def _roi_of(rois: dict[str, labels.Points], id: str, label_file: pathlib.Path) -> labels.Points:
    camera = id.split("/")[0]
    if camera not in rois:
        raise InputError(f"{label_file}: its camera {camera} has no region of interest")
    return rois[camera]
