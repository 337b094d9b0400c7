"""Small raw trees in the exact layouts of the published datasets, for the builders' tests."""

import pathlib

import numpy as np
import scipy.io

from cc_jax.data import images

SIZE = 60, 100  # height, width: not square, so that swapped coordinates show
SPOT = 230


def picture(points_xy, size=SIZE) -> np.ndarray:
    """Black, with a red block of 5x5 pixels in the middle of which each point lies."""
    rgb = np.zeros((*size, 3), np.uint8)
    for x, y in np.asarray(points_xy, float).reshape(-1, 2):
        rgb[max(0, int(y) - 2) : int(y) + 3, max(0, int(x) - 2) : int(x) + 3, 0] = SPOT
    return rgb


def save_picture(path: pathlib.Path, points_xy, size=SIZE) -> None:
    images.write_image(path, picture(points_xy, size), quality=100)


def save_mat(path: pathlib.Path, points_xy, number: int | None = None) -> None:
    """As ShanghaiTech's files are nested: image_info{1}.location, image_info{1}.number."""
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
    """`frames`: split -> number of the image -> points (x, y)."""
    for split, numbered in frames.items():
        for number, points in numbered.items():
            save_picture(root / part / f"{split}_data" / "images" / f"IMG_{number}.jpg", points)
            save_mat(root / part / f"{split}_data" / truth / f"GT_IMG_{number}.mat", points)
    return root


def unity(root: pathlib.Path, frames: dict[int, list], size=SIZE) -> pathlib.Path:
    """Points are given as everywhere, from the top; the files hold them from the bottom."""
    (root / "ground_truth_txt").mkdir(parents=True)
    for number, points in frames.items():
        save_picture(root / "images" / f"IMG_{number}.jpg", points, size)
        lines = [f"{x:g} {size[0] - y:g}" for x, y in points]
        (root / "ground_truth_txt" / f"IMG_{number}.txt").write_text("\n".join(lines) + "\n")
    return root


def spot_at(image: np.ndarray, point) -> bool:
    """Whether the picture is red where the point is."""
    x, y = np.asarray(point, int)
    return bool(image[y, x, 0] > SPOT / 2)
