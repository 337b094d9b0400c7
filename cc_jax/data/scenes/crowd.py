"""Positions of people on the ground: crowds, groups, queues and strollers, in meters."""

import numpy as np
from jaxtyping import Float

from cc_jax.data.scenes.canvas import Camera

# x and z in meters, and the direction that a person faces in radians (0 is towards the camera).
Spots = Float[np.ndarray, "N 3"]
# Smallest distance between two people in meters: shoulder to shoulder.
_APART = 0.42
# How often people are added to replace those outside the image and those too close to somebody.
_ROUNDS = 12


def arrange(
    rng: np.random.Generator, camera: Camera, count: int, half_width: float, near: float, far: float
) -> Spots:
    """Place people whose heads are inside the image.

    A scene mixes one to three kinds of arrangement.

    Args:
      rng: Random generator.
      camera: The camera.
      count: Number of people. There are fewer if there is no room for all.
      half_width: Largest distance from the middle of the place, in meters.
      near: Smallest depth in meters.
      far: Largest depth in meters.
    """
    ways = np.array([_strollers, _strollers, _groups, _block, _block, _queues])
    ways = rng.permutation(ways)[: rng.integers(1, 4)]
    shares = rng.dirichlet(np.full(len(ways), 1.5))
    # With 1, people are spread evenly on the ground, so most are far away. With less, more of them are near.
    lean = rng.uniform(-0.6, 0.8)
    reach = min(half_width, 0.55 * camera.columns / camera.focal * far)

    def place(number: int) -> np.ndarray:
        return _anchors(rng, camera, number, reach, near, far, lean)

    spots = np.zeros((0, 3))
    for _ in range(_ROUNDS):
        missing = count - len(spots)
        more = [
            way(rng, max(2, round(1.3 * missing * share)), place)
            for way, share in zip(ways, shares, strict=True)
        ]
        more = rng.permutation(np.concatenate(more))
        fits = (
            (np.abs(more[:, 0]) < half_width)
            & (more[:, 1] > near)
            & (more[:, 1] < far)
            & _in_frame(camera, more)
        )
        spots = _apart(np.concatenate([spots, more[fits]]), count)
        if len(spots) == count:
            break
    return spots


def _anchors(
    rng, camera: Camera, number: int, reach: float, near: float, far: float, lean: float
) -> np.ndarray:
    """Draw ground positions in the field of view. Their density over depth is proportional to z ** lean."""
    power = lean + 1
    z = (near**power + rng.random(number) * (far**power - near**power)) ** (1 / power)
    half = np.minimum(reach, 0.52 * camera.columns / camera.focal * z)
    return np.stack([rng.uniform(-1, 1, number) * half, z], axis=1)


def _strollers(rng: np.random.Generator, number: int, place) -> Spots:
    """People who walk alone, each in a direction of their own."""
    return np.column_stack([place(number), rng.uniform(0, 2 * np.pi, number)])


def _groups(rng: np.random.Generator, number: int, place) -> Spots:
    """Small circles of people who face each other."""
    centres = place(max(1, number // 4))
    which = rng.integers(len(centres), size=number)
    angle, radius = rng.uniform(0, 2 * np.pi, number), rng.uniform(0.4, 1.1, number)
    offset = radius[:, None] * np.stack([np.sin(angle), np.cos(angle)], axis=1)
    return np.column_stack([centres[which] + offset, angle])


def _block(rng: np.random.Generator, number: int, place) -> Spots:
    """An audience: loose rows of people who all face one way."""
    gap = rng.uniform(0.55, 1.1)
    columns = max(2, int(np.sqrt(number) * rng.uniform(0.9, 2.2)))
    i, j = np.arange(number) // columns, np.arange(number) % columns
    local = gap * np.stack([j - columns / 2 + 0.5 * (i % 2), i - number / columns / 2], axis=1)
    turn, facing = rng.normal(0, 0.25), rng.choice([0.0, np.pi, np.pi, np.pi / 2])
    rotation = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    spots = place(1) + local @ rotation + rng.normal(0, 0.22 * gap, (number, 2))
    return np.column_stack([spots, facing + turn + rng.normal(0, 0.35, number)])


def _queues(rng: np.random.Generator, number: int, place) -> Spots:
    """One to four queues."""
    lines = int(rng.integers(1, 5))
    starts, angle = place(lines), rng.uniform(0, 2 * np.pi)
    line, step = np.arange(number) % lines, np.arange(number) // lines
    walk = 0.75 * step + rng.normal(0, 0.08, number)
    bend = 0.25 * np.sin(walk / 3.0)
    offset = np.stack(
        [walk * np.sin(angle) + bend * np.cos(angle), walk * np.cos(angle) - bend * np.sin(angle)], 1
    )
    return np.column_stack([starts[line] + offset, np.full(number, angle) + rng.normal(0, 0.4, number)])


def _in_frame(camera: Camera, spots: Spots) -> np.ndarray:
    """Return whether a head at a height of 1.6 m is inside the image."""
    heads, _ = camera.project(np.column_stack([spots[:, 0], np.full(len(spots), 1.6), spots[:, 1]]))
    return np.all((heads >= 0) & (heads < (camera.columns, camera.rows)), axis=1)


def _apart(spots: Spots, count: int) -> Float[np.ndarray, "M 3"]:
    """Return the first `count` spots that are at least `_APART` away from all spots before them."""
    taken = np.empty((count, 3))
    n = 0
    for spot in spots:
        offset = taken[:n, :2] - spot[:2]
        if n == 0 or (offset * offset).sum(axis=1).min() > _APART**2:
            taken[n] = spot
            n += 1
            if n == count:
                break
    return taken[:n]
