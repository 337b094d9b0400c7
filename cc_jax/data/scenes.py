"""Procedural crowds in perspective: `render(domain, seed, index)` is an image and the positions of its heads."""

import dataclasses

import cv2
import numpy as np
from jaxtyping import Float32, UInt8

DOMAINS = ("source", "target")


@dataclasses.dataclass(frozen=True)
class Scene:
    """image_HxWx3: uint8 RGB; points_Nx2: heads (x, y) in pixels, float32, inside the frame."""

    image: UInt8[np.ndarray, "H W 3"]
    points: Float32[np.ndarray, "N 2"]


def render(domain: str, seed: int, index: int, *, height: int = 256, width: int = 384) -> Scene:
    """Scene `index` of `seed`: the same arguments always give the same pixels."""
    rng = np.random.default_rng([DOMAINS.index(domain), seed, index])
    focal = width * rng.uniform(0.8, 1.6)
    tilt, camera_height = np.radians(rng.uniform(8, 30)), rng.uniform(3, 9)
    image = np.full((height, width, 3), rng.uniform(120, 200, 3), np.uint8)
    count = int(np.exp(rng.uniform(np.log(10), np.log(250))))
    z = rng.uniform(6, 45, 3 * count)
    x = rng.uniform(-0.5, 0.5, 3 * count) * width / focal * z

    def project(up):
        y = camera_height - up
        depth = z * np.cos(tilt) + y * np.sin(tilt)
        return np.stack(
            [
                width / 2 + focal * x / depth,
                height / 2 + focal * (y * np.cos(tilt) - z * np.sin(tilt)) / depth,
            ],
            1,
        ), depth

    feet, _ = project(0.0)
    heads, depth = project(1.6)
    inside = ((heads >= 0) & (heads < (width, height))).all(1).nonzero()[0][:count]
    points = []
    for i in inside[np.argsort(-depth[inside])]:
        radius = max(1.0, 0.13 * focal / depth[i])
        cv2.line(
            image,
            feet[i].astype(int).tolist(),
            heads[i].astype(int).tolist(),
            rng.uniform(0, 255, 3).tolist(),
            max(1, int(3 * radius)),
            cv2.LINE_AA,
        )
        cv2.circle(
            image, heads[i].astype(int).tolist(), max(1, int(radius)), (200, 160, 130), -1, cv2.LINE_AA
        )
        points.append(heads[i])
    if domain == "target":
        image = cv2.GaussianBlur(image, (0, 0), 0.8)
        image = np.clip(image * 0.7 + rng.normal(0, 8, image.shape), 0, 255).astype(np.uint8)
    return Scene(image, np.asarray(points, np.float32).reshape(-1, 2))
