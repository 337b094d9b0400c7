"""Small folders in the exact layouts of the published datasets."""

import json
import pathlib

import h5py
import numpy as np
import scipy.io

from cc_jax.data import images

# Height and width. Not square, so that swapped coordinates are noticed.
SIZE = 60, 100
SPOT = 230


def picture(points_xy, size=SIZE) -> np.ndarray:
    """Return a black image with a red block of 5x5 pixels around each point."""
    rgb = np.zeros((*size, 3), np.uint8)
    for x, y in np.asarray(points_xy, float).reshape(-1, 2):
        rgb[max(0, int(y) - 2) : int(y) + 3, max(0, int(x) - 2) : int(x) + 3, 0] = SPOT
    return rgb


def save_picture(path: pathlib.Path, points_xy, size=SIZE) -> None:
    images.write_image(path, picture(points_xy, size), quality=100)


def save_mat(path: pathlib.Path, points_xy, number: int | None = None) -> None:
    """Write a label nested as ShanghaiTech's: image_info{1}.location, image_info{1}.number."""
    points = np.asarray(points_xy, float).reshape(-1, 2)
    inner = np.zeros((1, 1), dtype=[("location", "O"), ("number", "O")])
    inner["location"][0, 0] = points
    inner["number"][0, 0] = np.array([[len(points) if number is None else number]])
    info = np.empty((1, 1), dtype=object)
    info[0, 0] = inner
    path.parent.mkdir(parents=True, exist_ok=True)
    scipy.io.savemat(path, {"image_info": info})


def shanghaitech(
    root: pathlib.Path, frames: dict[str, dict[int, list]], part="part_A_final", truth="ground_truth"
) -> pathlib.Path:
    """Write images and labels. `frames` maps a split and the number of an image to points (x, y)."""
    for split, numbered in frames.items():
        for number, points in numbered.items():
            save_picture(root / part / f"{split}_data" / "images" / f"IMG_{number}.jpg", points)
            save_mat(root / part / f"{split}_data" / truth / f"GT_IMG_{number}.mat", points)
    return root


def unity(root: pathlib.Path, frames: dict[int, list], size=SIZE) -> pathlib.Path:
    """Write images and labels. Points are measured from the top, and written to the files from the bottom."""
    (root / "ground_truth_txt").mkdir(parents=True)
    for number, points in frames.items():
        save_picture(root / "images" / f"IMG_{number}.jpg", points, size)
        lines = [f"{x:g} {size[0] - y:g}" for x, y in points]
        (root / "ground_truth_txt" / f"IMG_{number}.txt").write_text("\n".join(lines) + "\n")
    return root


def save_new_mat(path: pathlib.Path, variables: dict) -> None:
    """Write a file as MATLAB 7.3 does: HDF5 after 512 bytes, arrays by columns, cells as references."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w", userblock_size=512) as file:
        for name, value in variables.items():
            _save_new(file, file, name, value)
    head = b"MATLAB 7.3 MAT-file, Platform: GLNXA64".ljust(124) + b"\x00\x02IM"
    with open(path, "r+b") as file:
        file.write(head)


def _save_new(file: h5py.File, group: h5py.Group, name: str, value) -> None:
    if isinstance(value, dict):
        struct = group.create_group(name)
        struct.attrs["MATLAB_class"] = np.bytes_("struct")
        for field, inner in value.items():
            _save_new(file, struct, field, inner)
    elif isinstance(value, list):
        cells = file.require_group("#refs#")
        names = []
        for inner in value:
            names.append(f"cell{len(cells)}")
            _save_new(file, cells, names[-1], inner)
        references = np.array([[cells[one].ref for one in names]], dtype=h5py.ref_dtype)
        group.create_dataset(name, data=references).attrs["MATLAB_class"] = np.bytes_("cell")
    else:
        array = np.asarray(value, float)
        data = np.uint64(array.shape) if array.size == 0 else array.T
        node = group.create_dataset(name, data=data)
        node.attrs["MATLAB_class"] = np.bytes_("double")
        if array.size == 0:
            node.attrs["MATLAB_empty"] = np.uint8(1)


def save_points(path: pathlib.Path, key: str, points_xy) -> None:
    """Write a .mat file of an older version with one array."""
    path.parent.mkdir(parents=True, exist_ok=True)
    scipy.io.savemat(path, {key: np.asarray(points_xy, float).reshape(-1, 2)})


def ucf_cc_50(root: pathlib.Path, frames: dict[int, list]) -> pathlib.Path:
    for number, points in frames.items():
        save_picture(root / "UCF_CC_50" / f"{number}.jpg", points)
        save_points(root / "UCF_CC_50" / f"{number}_ann.mat", "annPoints", points)
    return root


def ucf_qnrf(root: pathlib.Path, frames: dict[str, dict[int, list]]) -> pathlib.Path:
    for split, numbered in frames.items():
        for number, points in numbered.items():
            stem = root / "UCF-QNRF_ECCV18" / split.capitalize() / f"img_{number:04d}"
            save_picture(stem.with_suffix(".jpg"), points)
            save_points(stem.with_name(f"{stem.name}_ann.mat"), "annPoints", points)
    return root


def worldexpo10(root: pathlib.Path, frames: dict[str, dict[str, list]], region: list) -> pathlib.Path:
    """Write frames and labels. `frames` maps a split and "camera/name" to points, `region` is the corners of the ROI."""
    x, y = (np.asarray(region, float)[:, i : i + 1] + 0.5 for i in (0, 1))
    for split, named in frames.items():
        for id, points in named.items():
            camera, name = id.split("/")
            folder = root / f"{split}_frame" / ("" if split == "train" else camera)
            save_picture(folder / f"{name}.jpg", points)
            save_points(root / f"{split}_label" / camera / f"{name}.mat", "point_position", points)
            scipy.io.savemat(
                root / f"{split}_label" / camera / "roi.mat",
                {"maskVerticesXCoordinates": x, "maskVerticesYCoordinates": y},
            )
    return root


def nwpu(
    root: pathlib.Path, frames: dict[str, dict[int, list]], folder="images", form="jsons"
) -> pathlib.Path:
    for split, numbered in frames.items():
        for number, points in numbered.items():
            name = f"{number:04d}"
            save_picture(root / folder / f"{name}.jpg", points)
            if split != "test" and form == "mats":
                save_points(root / "mats" / f"{name}.mat", "annPoints", points)
            elif split != "test":
                (root / "jsons").mkdir(exist_ok=True)
                label = {"img_id": f"{name}.jpg", "human_num": len(points), "points": points, "boxes": []}
                (root / "jsons" / f"{name}.json").write_text(json.dumps(label))
        (root / f"{split}.txt").write_text("".join(f"{number:04d} 1 2 \n" for number in numbered))
    return root


def jhu(root: pathlib.Path, frames: dict[str, dict[int, list]]) -> pathlib.Path:
    for split, numbered in frames.items():
        folder = root / "jhu_crowd_v2.0" / split
        (folder / "gt").mkdir(parents=True)
        for number, points in numbered.items():
            save_picture(folder / "images" / f"{number:04d}.jpg", points)
            text = "".join(f"{x:g} {y:g} 12 15 1 0 \n" for x, y in points)
            (folder / "gt" / f"{number:04d}.txt").write_text(text)
    return root


def gcc(
    root: pathlib.Path, lists: dict[str, dict[str, list]], scene=(4, 12, 1), folder="jpgs", new=()
) -> pathlib.Path:
    """Write images, labels and lists. `lists` maps a list file and "scene_XX_Y/id" to points.

    Ids in `new` get MATLAB 7.3 labels.
    """
    for name, frames in lists.items():
        lines = []
        for id, points in frames.items():
            place, number = id.split("/")
            save_picture(root / place / folder / f"{number}.{folder[:-1]}", points)
            rows_columns = np.asarray(points, float).reshape(-1, 2)[:, ::-1]
            path = root / place / "mats" / f"{number}.mat"
            path.parent.mkdir(parents=True, exist_ok=True)
            save = save_new_mat if id in new else scipy.io.savemat
            save(path, {"image_info": {"location": rows_columns}})
            level, hour, weather = scene
            lines.append(f"{level} {hour} {weather} /performed_bak_lite/{place} {number} {len(points)}\n")
        (root / name).write_text("".join(lines))
    return root


def spot_at(image: np.ndarray, point) -> bool:
    """Return whether the image is red at the point."""
    x, y = np.asarray(point, int)
    return bool(image[y, x, 0] > SPOT / 2)
