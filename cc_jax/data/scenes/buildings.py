"""Houses and trees around a place."""

import numpy as np

from cc_jax.data.scenes.canvas import Camera, Canvas
from cc_jax.data.scenes.looks import Look
from cc_jax.data.scenes.places import Place
from cc_jax.data.scenes.things import Thing, draw_thing


def draw_buildings(
    rng: np.random.Generator, canvas: Canvas, camera: Camera, place: Place, look: Look
) -> None:
    """Draw the houses or trees around the place, far ones first."""
    if place.kind == "park":
        _tree_line(rng, canvas, camera, place, look)
        return
    half = 0.65 * camera.columns / camera.focal * place.back
    _row(rng, canvas, camera, look, (-half, place.back), (half, place.back))
    if place.kind == "street":
        for side in (-1, 1):
            x = side * (place.half_width + 0.5)
            _row(rng, canvas, camera, look, (x, place.back), (x, 3.5))


def _row(rng, canvas: Canvas, camera: Camera, look: Look, start: tuple, end: tuple) -> None:
    """Draw houses along a line on the ground, from `start` to `end` (x, z)."""
    first, last = np.array(start, float), np.array(end, float)
    length = float(np.hypot(*(last - first)))
    at = 0.0
    base = rng.uniform(7, 18)
    while at < length:
        width = min(rng.uniform(6, 16), length - at)
        edges = first + np.outer([at, at + width], (last - first) / length)
        if rng.random() < 0.93:
            _house(rng, canvas, camera, look, edges, max(4.0, base * rng.uniform(0.6, 1.4)))
        at += width


def _house(rng, canvas: Canvas, camera: Camera, look: Look, edges: np.ndarray, height: float) -> None:
    """Draw a facade between two ground points: wall, stains, windows, ground floor, cornice."""
    wall = look.walls[rng.integers(len(look.walls))] * rng.uniform(0.85, 1.1)
    across = edges[1] - edges[0]
    if abs(across[1]) > abs(across[0]):  # on a side of the street, facing the light or not
        wall = wall * (1.06 if np.sign(edges[0, 0]) == look.side else 0.8)
    layers = [([(0, 1, 0, 1)], wall)]
    if look.texture > 0:
        layers += _stains(rng, wall, look)
    floors, bays = max(1, int(height / 3.2)), max(1, int(np.hypot(*across) / rng.uniform(2.2, 3.6)))
    layers += _windows(rng, wall, look, floors, bays)
    layers += [([(0, 1, 1 - 0.35 / height, 1)], wall * 0.7), ([(0, 0.006, 0, 1)], wall * 0.6)]
    _paint(canvas, camera, edges, height, layers)


def _paint(canvas: Canvas, camera: Camera, edges: np.ndarray, height: float, layers: list[tuple]) -> None:
    """Paint boxes on a facade, layer by layer.

    Args:
      canvas: The canvas.
      camera: The camera.
      edges: The two ground points (x, z) of the facade.
      height: Height of the facade in meters.
      layers: Boxes and their color. A box is (left, right, bottom, top), from 0 to 1 along the wall.
    """
    boxes = np.concatenate([np.asarray(boxes, float).reshape(-1, 4) for boxes, _ in layers])
    corners = boxes[:, [[0, 2], [1, 2], [1, 3], [0, 3]]].reshape(-1, 2)
    ground = edges[0] + corners[:, :1] * (edges[1] - edges[0])
    uv, _ = camera.project(np.column_stack([ground[:, 0], corners[:, 1] * height, ground[:, 1]]))
    depth, quads, at = float(edges[:, 1].mean()), uv.reshape(-1, 4, 2), 0
    for boxes, colour in layers:
        canvas.polygons(
            quads[at : at + len(boxes)], canvas.hazed(tuple(np.clip(colour, 0, 255).tolist()), depth)
        )
        at += len(boxes)


def _windows(rng, wall: np.ndarray, look: Look, floors: int, bays: int) -> list[tuple]:
    """Return layers of windows of a few brightnesses above a ground floor of shops or doors."""
    i, j = (a.ravel() for a in np.meshgrid(np.arange(bays), np.arange(floors), indexing="ij"))
    wide, tall = rng.uniform(0.35, 0.75), rng.uniform(0.45, 0.7)
    left, low = (i + 0.5 - wide / 2) / bays, (j + 0.28) / floors
    boxes = np.stack([left, left + wide / bays, low, low + tall / floors], axis=1)
    glass = np.array([84, 104, 124]) if look.texture == 0 else np.array([58, 64, 70])
    group = rng.integers(3, size=len(boxes)) if look.texture > 0 else np.zeros(len(boxes), int)
    frame = boxes + np.array([-0.04, 0.04, -0.03, 0.03]) / np.array([bays, bays, floors, floors])
    layers = [(frame[j > 0], wall * (1.12 if look.texture == 0 else rng.choice([0.7, 1.2])))]
    layers += [(boxes[(group == g) & (j > 0)], glass * bright) for g, bright in enumerate((1.0, 0.75, 1.5))]
    layers += [(boxes[j == 0] * (1, 1, 0, 1) + (0, 0, 0.04 / floors, 0.1 / floors), glass * 0.8)]
    if rng.random() < 0.6:
        layers += [([(0.04, 0.96, 0.86 / floors, 1.04 / floors)], look.tops[rng.integers(len(look.tops))])]
    return layers


def _stains(rng: np.random.Generator, wall: np.ndarray, look: Look) -> list[tuple]:
    """Return layers of stains on a wall."""
    n = int(rng.integers(4, 12))
    left, low = rng.random(n), rng.random(n)
    size = rng.uniform(0.02, 0.3, (2, n))
    boxes = np.stack([left, np.minimum(left + size[0], 1), low, np.minimum(low + size[1], 1)], axis=1)
    return [
        ([box], wall * bright)
        for box, bright in zip(boxes, rng.normal(1, 0.07 * look.texture, n), strict=True)
    ]


def _tree_line(rng: np.random.Generator, canvas: Canvas, camera: Camera, place: Place, look: Look) -> None:
    """Draw a row of trees at the back, with a hedge below."""
    half = 0.7 * camera.columns / camera.focal * place.back
    xs = np.arange(-half, half, 4.0) + rng.normal(0, 1.0, len(np.arange(-half, half, 4.0)))
    hedge = look.leaves[0] * 0.75
    edges = np.array([[-1.4 * half, place.back + 4], [1.4 * half, place.back + 4]])
    _paint(canvas, camera, edges, 3.0, [([(0, 1, 0, 1)], hedge)])
    for x in xs:
        draw_thing(
            rng,
            canvas,
            camera,
            Thing("tree", x, place.back + rng.uniform(0, 3), rng.uniform(5, 11), hedge),
            look,
        )
