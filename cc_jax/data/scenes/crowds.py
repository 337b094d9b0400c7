"""Crowds composed of rendered people (`sprites`), dressed (`cloth`), in painted `surroundings` or in `photographs`.

`render(seed, index)` returns an image, the position of every head that a person would mark, and how the scene was made.
One scene in five shows nobody, and three in ten a packed crowd, seen from above or from the height of its heads. The
others show up to a few thousand people: dense blocks, rows, queues, groups and single people, from a raised hand to a
tower. Other looks (`looks`) show a part of this, or something else.

A head is where it is drawn: its position and its pixels come from the sprite. It counts if its middle is inside the image
and enough of it is visible (`_SEEN_SHARE`, `_SEEN_PIXELS`). Nobody stands so far away that their head is smaller than a
size that is drawn for each scene between the limits of its look. Behind them the place goes on without people.
"""

import dataclasses
from collections.abc import Sequence

import cv2
import numpy as np
from jaxtyping import Float, Float32, Int, Int32, UInt8

from cc_jax.data.scenes import Scene, cloth, clutter, optics, sprites, surroundings
from cc_jax.data.scenes.canvas import Camera, noise
from cc_jax.data.scenes.looks import LOOKS, Look

# A head counts if this share of its pixels, and this many of them, are visible. Twelve windows of dense scenes were
# counted by eye: 262 heads. This rule labels 265, a quarter of the pixels alone would label 356.
_SEEN_SHARE, _SEEN_PIXELS = 0.45, 8
_LEAST_CONTRAST = 32  # standard deviation of an image's grey levels
_LEAST_SLOPE = (
    0.15  # height of the camera high over a packed crowd, where the distance of its last people is 1
)
_LEVEL = (1.9, 5.0)  # height in metres of a camera that is held up in a packed crowd, or on a stage before it
_DARK = (35, 90)  # mean grey level of an image at night, or of a stage's light
_HEAD = 0.23  # metres from the chin to the crown
_MAX_PEOPLE = 4000
# From how many of the sprites that fit best one is drawn, and for how many people they are looked for at once.
_BEST, _CHUNK = 12, 256
# Metres of someone's height above the ground at which the camera's elevation is measured.
_MIDDLE = 1.2

# What describes a scene: numbers of its place in `surroundings.PLACES` (a panorama has the next one) and of its light in
# `surroundings.LIGHTS`, the camera's height in centimetres, its tilt and its horizontal angle of view in degrees, and how
# many heads count.
FIELDS = ("place", "light", "camera_cm", "tilt", "view", "count")

# x and z in metres, height of the ground, facing in degrees (0 is towards the camera).
Spots = Float[np.ndarray, "_ 4"]


@dataclasses.dataclass(frozen=True)
class CrowdScene(Scene):
    """A composed scene.

    Attributes:
      parameters: how the scene was made, by the names in `FIELDS`.
    """

    parameters: dict[str, int]


def render(seed: int, index: int, *, look: str = "any", height: int = 512, width: int = 768) -> CrowdScene:
    """Compose a scene. The same arguments always give the same pixels.

    Args:
      seed: seed of a series of scenes.
      index: index of the scene in the series.
      look: one of `LOOKS`.
      height: height of the image in pixels.
      width: width of the image in pixels.

    Raises:
      ValueError: There is no such look.
    """
    if look not in LOOKS:
        raise ValueError(f"look must be one of {', '.join(LOOKS)}, not {look!r}")
    chosen = LOOKS[look]
    rng = np.random.default_rng([chosen.stream, seed, index])
    place = surroundings.draw_place(rng, chosen.places)
    light = surroundings.draw_light(rng, place, chosen.lights)
    bounds = surroundings.draw_bounds(rng, place)
    # Without such a share nothing is drawn, so that looks without packed crowds keep their scenes.
    packed = chosen.packed_share > 0 and rng.random() < chosen.packed_share
    camera, near, far = _view(rng, chosen, place, bounds, light, (height, width), packed=packed)
    spots, ways = np.zeros((0, 4)), []
    if packed or rng.random() >= chosen.empty_share / (1 - chosen.packed_share):
        spots, ways = _arrange(rng, camera, place, bounds, near, far, packed=packed)
        spots = _thinned(rng, chosen, spots)
    crowd = _Crowd.make(rng, camera, light, spots, ways)
    shade = crowd.shadows(camera, light)
    canvas = surroundings.backdrop(rng, camera, place, bounds, light, shade)
    if place is surroundings.PANORAMA:
        # People stand in its light.
        crowd.gains[:] *= (canvas.mean((0, 1)) / canvas.mean()) ** 0.6
    heads = np.zeros((height, width), np.int32)
    brush = surroundings.Brush(canvas, heads, camera, light)
    if place.name == "stand":
        _steps(rng, brush, near, far)
    things = [name for name in place.things if name in chosen.things]
    _paint(rng, brush, crowd, _scattered(rng, place, things, bounds, near, far, len(spots)))
    image = _photographed(rng, canvas) if chosen.photographed else _lit(rng, canvas, light, chosen)
    # Small images of a look whose heads shrink with the image show small heads.
    shrunk = min(height / chosen.rows, 1.0) if chosen.rows else 1.0
    points = crowd.visible(heads, _SEEN_PIXELS * shrunk**2)
    view = 2 * np.degrees(np.arctan(width / 2 / camera.focal))
    numbers = (
        (*surroundings.PLACES, surroundings.PANORAMA).index(place),
        surroundings.LIGHTS.index(light.name),
        100 * camera.height,
        np.degrees(camera.tilt),
        view,
        len(points),
    )
    parameters = {name: round(float(number)) for name, number in zip(FIELDS, numbers, strict=True)}
    return CrowdScene(image, points, parameters)


def _view(
    rng: np.random.Generator,
    look: Look,
    place: surroundings.Place,
    bounds: surroundings.Bounds,
    light: surroundings.Light,
    size: tuple[int, int],
    *,
    packed: bool,
) -> tuple[Camera, float, float]:
    """A camera, held by hand or up to a tower, and the least and the largest distance at which people stand.

    From above, a packed crowd shows its heads behind one another. From their height, those in front hide most others.
    """
    rows, columns = size
    focal = columns * float(np.exp(rng.uniform(*np.log(look.lens))))
    if place is surroundings.PANORAMA:  # a longer lens would show its pixels
        focal = min(focal, 1.1 * columns)
    # As far as heads are large enough, and clear enough in the haze, for somebody to mark them.
    smallest = float(np.exp(rng.uniform(*np.log(look.smallest_head))))
    if look.rows:
        smallest *= rows / look.rows
    reach = min(_HEAD * focal / smallest, 1.3 * light.haze_range, bounds.back - 0.5)
    low, top = look.camera
    top = min(top, 5.0) if place.roofed else top
    if look.last_row:  # nobody looks for a crowd from where its people are out of reach
        top = max(low, min(top, 0.7 * reach))
    if packed and rng.random() < look.level_share:
        low, top = _LEVEL[0], max(_LEVEL[0], min(_LEVEL[1], top))
    elif packed:
        low = max(low, min(_LEAST_SLOPE * reach, top))
    high = float(np.exp(rng.uniform(np.log(low), np.log(top))))
    if look.last_row:
        tilt = np.arctan((high - 1.6) / reach) + np.arctan((0.5 - rng.uniform(*look.last_row)) * rows / focal)
    else:
        assert look.ahead is not None, "a look has either last_row or ahead"
        tilt = np.arctan(high / (high * rng.uniform(*look.ahead) + 6))
    if rng.random() < look.overhead_share:  # nearly straight down
        tilt = np.radians(rng.uniform(50, 75))
        high = max(high, 6.0)
    camera = Camera(high, float(tilt), float(rng.normal(0, 0.02)), focal, rows, columns)
    half = np.arctan(rows / 2 / focal)
    below, above = camera.tilt + half, camera.tilt - half
    # People whose heads are below the lower edge do not count but hide nobody either.
    near = max(2.0, (camera.height - 1.7) / np.tan(min(below, 1.5)))
    edge = camera.height / np.tan(above) if above > 0 else np.inf
    return camera, near, max(near + 4, min(reach, edge))


def _thinned(rng: np.random.Generator, look: Look, spots: Spots) -> Spots:
    """At most as many people as the look has room for, from anywhere among them."""
    if look.people is None:
        return spots
    room = int(np.exp(rng.uniform(*np.log(look.people))))
    return spots[np.sort(rng.permutation(len(spots))[:room])]


# Arrangements: function(rng, x0, x1, z0, z1) -> spots in this rectangle of the ground.


def _grid(
    rng: np.random.Generator,
    box: tuple[float, float, float, float],
    across: float,
    along: float,
    jitter: float,
) -> np.ndarray:
    """Points of a jittered grid in a box, every second row shifted by half."""
    x0, x1, z0, z1 = box
    x, z = np.meshgrid(np.arange(x0, x1, across), np.arange(z0, z1, along))
    x = x + 0.5 * across * (np.arange(len(x)) % 2)[:, None]
    points = np.stack([x.ravel(), z.ravel()], 1)
    return points + rng.uniform(-jitter, jitter, points.shape) * (across, along)


def _block(rng: np.random.Generator, box) -> np.ndarray:
    """A dense crowd that thins out in places; most face the same way."""
    apart = float(np.exp(rng.uniform(np.log(0.38), np.log(1.0))))
    points = _grid(rng, box, apart, apart * 0.9, 0.33)
    field = noise(rng, 256, 16, 0.6)
    scale = rng.uniform(10, 60)
    cell = np.floor(points / scale * 256).astype(int) % 256
    points = points[field[cell[:, 0], cell[:, 1]] > rng.uniform(-2.0, 0.3)]
    facing = rng.uniform(0, 360) + rng.normal(0, rng.uniform(15, 70), len(points))
    return np.column_stack([points, np.zeros(len(points)), facing])


def _rows(rng: np.random.Generator, box) -> np.ndarray:
    """Rows as in a march or before a stage."""
    points = _grid(rng, box, rng.uniform(0.55, 1.0), rng.uniform(0.8, 1.8), rng.uniform(0.03, 0.2))
    points = points[rng.random(len(points)) < rng.uniform(0.5, 1.0)]
    facing = rng.choice([0.0, 180.0, rng.uniform(0, 360)]) + rng.normal(0, 15, len(points))
    return np.column_stack([points, np.zeros(len(points)), facing])


def _strollers(rng: np.random.Generator, box) -> np.ndarray:
    """Single people here and there, in all directions."""
    x0, x1, z0, z1 = box
    number = rng.poisson(
        min(600, (x1 - x0) * (z1 - z0) * float(np.exp(rng.uniform(np.log(0.01), np.log(0.3)))))
    )
    points = np.stack([rng.uniform(x0, x1, number), rng.uniform(z0, z1, number)], 1)
    return np.column_stack([points, np.zeros(number), rng.uniform(0, 360, number)])


def _groups(rng: np.random.Generator, box) -> np.ndarray:
    """Groups of two to seven who face each other or walk together."""
    found = []
    for x, z, _, facing in _strollers(rng, box)[:200]:
        number = rng.integers(2, 8)
        angle = rng.uniform(0, 360) + np.arange(number) * 360 / number
        ring = 0.25 + 0.13 * number
        towards = facing + rng.normal(0, 10, number) if rng.random() < 0.5 else angle + 180
        points = np.stack([x + ring * np.sin(np.radians(angle)), z + ring * np.cos(np.radians(angle))], 1)
        found.append(np.column_stack([points, np.zeros(number), towards]))
    return np.concatenate(found) if found else np.zeros((0, 4))


def _queue(rng: np.random.Generator, box) -> np.ndarray:
    """One to four queues that wind over the ground."""
    x0, x1, z0, z1 = box
    found = []
    for _ in range(rng.integers(1, 5)):
        number = int(rng.integers(8, 80))
        heading = rng.uniform(0, 360) + np.cumsum(rng.normal(0, 6, number))
        step = rng.uniform(0.6, 1.1) * np.stack([np.sin(np.radians(heading)), np.cos(np.radians(heading))], 1)
        points = np.cumsum(step, 0) + [rng.uniform(x0, x1), rng.uniform(z0, z1)]
        found.append(np.column_stack([points, np.zeros(number), heading]))
    return np.concatenate(found)


def _throng(rng: np.random.Generator, box) -> np.ndarray:
    """A packed crowd without gaps, two to nine people a square metre; most face the same way."""
    apart = float(np.exp(rng.uniform(np.log(0.34), np.log(0.62))))
    points = _grid(rng, box, apart, apart * rng.uniform(0.9, 1.3), 0.35)
    points = points[rng.random(len(points)) < rng.uniform(0.85, 1.0)]
    facing = rng.choice([0.0, 180.0, rng.uniform(0, 360)]) + rng.normal(0, rng.uniform(10, 60), len(points))
    return np.column_stack([points, np.zeros(len(points)), facing])


_WAYS = {"block": _block, "rows": _rows, "strollers": _strollers, "groups": _groups, "queue": _queue}


def _arrange(
    rng: np.random.Generator, camera: Camera, place, bounds, near: float, far: float, *, packed: bool
) -> tuple[Spots, list[str]]:
    """Where people are, and how they are arranged. Only people near the image are kept."""
    wide = min(bounds.half_width - 0.4, 0.6 * camera.columns / camera.focal * far + 2)
    if place.name == "stand":
        return _in_stand(rng, near, far, wide), ["stand"]
    if packed:
        spots = _throng(rng, (-wide, wide, near, far))
        return _apart(_in_sight(camera, spots, near, far)), ["throng"]
    ways = rng.choice(list(_WAYS), rng.integers(1, 4), p=[0.38, 0.14, 0.18, 0.2, 0.1], replace=True).tolist()
    spots = []
    for way in ways:
        # Somewhere between all of the ground in sight and a part of it.
        x0, x1 = sorted(rng.uniform(-wide, wide, 2)) if rng.random() < 0.35 else (-wide, wide)
        z0, z1 = near, far
        if rng.random() < 0.4:
            z0 = near + (far - near) * rng.uniform(0, 0.5) ** 2
            z1 = z0 + max(3.0, (far - z0) * rng.uniform(0.15, 1))
        spots.append(_WAYS[way](rng, (x0, max(x1, x0 + 3), z0, min(z1, far))))
    return _apart(_in_sight(camera, np.concatenate(spots), near, far)), ways


def _in_sight(camera: Camera, spots: Spots, near: float, far: float) -> Spots:
    """The people whose heads are in the image or little outside of it, at most `_MAX_PEOPLE`."""
    heads = np.stack([spots[:, 0], spots[:, 2] + 1.6, spots[:, 1]], 1)
    seen, depth = camera.project(heads)
    margin = 1.0 * camera.focal / depth
    inside = (seen[:, 0] > -margin) & (seen[:, 0] < camera.columns + margin)
    inside &= (seen[:, 1] > -margin) & (seen[:, 1] < camera.rows + 2 * margin)
    inside &= (spots[:, 1] > near * 0.8) & (spots[:, 1] < far) & (depth > 1.5)
    return spots[inside][:_MAX_PEOPLE]


def _apart(spots: Spots, least: float = 0.34) -> Spots:
    """Without those who would stand inside of somebody who comes before them in the list."""
    taken: set[tuple[int, int]] = set()
    keep = []
    for number, (x, z) in enumerate(np.floor(spots[:, :2] / least).astype(int).tolist()):
        if (x, z) not in taken:
            taken.add((x, z))
            keep.append(number)
    return spots[keep]


def _in_stand(rng: np.random.Generator, near: float, far: float, wide: float) -> Spots:
    """People in the rows of a stand, most of them seated, each row higher than the one before it."""
    apart, filled = rng.uniform(0.5, 0.7), rng.uniform(0.05, 1.0)
    found = []
    for z, y in _tiers(near, far):
        x = np.arange(-wide, wide, apart)
        x = (x + rng.uniform(-0.08, 0.08, len(x)))[rng.random(len(x)) < filled]
        found.append(np.column_stack([x, np.full(len(x), z), np.full(len(x), y), rng.normal(0, 25, len(x))]))
    return np.concatenate(found)[-_MAX_PEOPLE:]


def _tiers(near: float, far: float) -> list[tuple[float, float]]:
    """Distance and height of the rows of a stand."""
    first = near + 3
    return [(z, 0.45 * number) for number, z in enumerate(np.arange(first, min(far, first + 32), 0.85))]


def _steps(rng: np.random.Generator, brush: surroundings.Brush, near: float, far: float) -> None:
    """The rows of a stand with their seats, from far to near."""
    concrete = clutter.grey(rng, 90, 190)
    seat = clutter.vivid(rng) if rng.random() < 0.7 else clutter.grey(rng, 40, 200)
    wide = 0.6 * brush.camera.columns / brush.camera.focal * far + 2
    seats = rng.random() < 0.7
    for z, y in reversed(_tiers(near, far)):
        brush.polygon(
            [(-wide, y, z + 0.45), (wide, y, z + 0.45), (wide, y, z - 0.4), (-wide, y, z - 0.4)], concrete
        )
        brush.polygon(
            [(-wide, y, z - 0.4), (wide, y, z - 0.4), (wide, y - 0.45, z - 0.4), (-wide, y - 0.45, z - 0.4)],
            concrete * 0.8,
        )
        pixels = brush.camera.focal / max(z, 1)
        if seats and pixels > 12:
            for x in np.arange(-wide, wide, 0.55).tolist():
                back = [
                    (x - 0.2, y + 0.35, z + 0.2),
                    (x + 0.2, y + 0.35, z + 0.2),
                    (x + 0.17, y + 0.8, z + 0.3),
                    (x - 0.17, y + 0.8, z + 0.3),
                ]
                brush.polygon(back, seat * rng.uniform(0.85, 1.1))


def _scattered(
    rng: np.random.Generator, place, names: Sequence[str], bounds, near: float, far: float, people: int
) -> list[tuple[str, float, float]]:
    """What stands about: name, x and z. There is little of it in a crowd."""
    number = rng.poisson(4 if people > 300 else 12)
    things = []
    if not names:
        return things
    for _ in range(number if place.name != "stand" else number // 3):
        z = near + 3 + (min(far + 15, bounds.back) - near) * rng.random() ** 1.3
        wide = min(bounds.half_width, 0.6 * z)
        things.append((str(rng.choice(names)), rng.uniform(-wide, wide), z))
    return things


@dataclasses.dataclass(frozen=True)
class _Crowd:
    """The people of a scene, from far to near.

    Attributes:
      spots: where they are.
      which: the sprite of each, and whether it is mirrored.
      heads: where the middle of each head is drawn.
      scale: size of each sprite's pixels in pixels of the image.
      depth: distance along the optical axis in metres.
      angle: by how much each is rotated so that it stands upright in the image, in degrees.
      gains: factors on the colors of each: for regions 0 to 4, on red, green and blue.
      cloth: number of the cloth that each wears.
      detail: how strongly it shows in regions 0 to 4, from 0 (not at all) to 1.
      sizes: how many pixels each head has, filled in by `paint`.
    """

    spots: Spots
    which: list[tuple[sprites.Sprite, bool]]
    heads: Float[np.ndarray, "N 2"]
    scale: Float[np.ndarray, " N"]
    depth: Float[np.ndarray, " N"]
    angle: Float[np.ndarray, " N"]
    gains: Float32[np.ndarray, "N 5 3"]
    cloth: Int[np.ndarray, " N"]
    detail: Float32[np.ndarray, "N 5"]
    sizes: Int32[np.ndarray, " N"]

    @classmethod
    def make(
        cls,
        rng: np.random.Generator,
        camera: Camera,
        light: surroundings.Light,
        spots: Spots,
        ways: Sequence[str],
    ) -> "_Crowd":
        """Choose a sprite for everyone and find where it is drawn."""
        foot = np.stack([spots[:, 0], spots[:, 2], spots[:, 1]], 1).reshape(-1, 3)
        _, depth = camera.project(foot)
        order = np.argsort(-depth)
        spots, foot = spots[order], foot[order]
        which = _choose(rng, camera, light, spots, seated="stand" in ways)
        tall = np.array([(s.foot[1] - s.head[1]) / s.metre for s, _ in which]).reshape(-1)
        elevation = np.array([np.cos(np.radians(s.elevation)) for s, _ in which]).reshape(-1)
        # Height of the head above the ground. Seen from above, what separates it from the foot is the smaller the
        # steeper the view; below a third the estimate would be poor.
        rise = np.clip(tall / np.maximum(elevation, 0.35), 0.6, 1.9)
        heads, head_depth = camera.project(foot + np.stack([0 * rise, rise, 0 * rise], 1))
        above, _ = camera.project(foot + np.stack([0 * rise, rise + 0.3, 0 * rise], 1))
        up = above - heads
        angle = np.degrees(np.arctan2(up[:, 0], -up[:, 1]))
        metre = np.array([s.metre for s, _ in which]).reshape(-1)
        scale = camera.focal / head_depth / metre
        return cls(
            spots,
            which,
            heads,
            scale,
            head_depth,
            angle,
            _gains(rng, len(spots)),
            rng.integers(1000, size=len(spots)),
            _detail(rng, len(spots)),
            np.zeros(len(spots), np.int32),
        )

    def shadows(self, camera: Camera, light: surroundings.Light) -> Float32[np.ndarray, "H W"]:
        """How dark the shadows of the people on the ground are, between 0 and 1."""
        shade = np.zeros((camera.rows, camera.columns), np.uint8)
        angle = np.radians(light.sun)
        # The studio's sun is 45 degrees high: a shadow is as long as its person is tall.
        away = np.array([-np.sin(angle), 0, np.cos(angle)]) * (1.5 if light.sun else 0.0)
        for (x, z, y, _), depth in zip(self.spots, self.depth, strict=True):
            if y > 0:
                continue
            (a, b), _ = camera.project(np.array([[x, 0, z], [x + away[0], 0, z + away[2]]]))
            wide = max(1, round(0.4 * camera.focal / depth))
            start, end = (tuple(np.round(point).astype(int).tolist()) for point in (a, b))
            cv2.line(shade, start, end, 255, wide)
        blur = 1.0 if light.sun else 3.0
        strength = 0.9 if light.sun else 0.5
        return cv2.GaussianBlur(shade, (0, 0), blur).astype(np.float32) * (strength / 255)

    def visible(
        self, shown: Int32[np.ndarray, "H W"], least: float = _SEEN_PIXELS
    ) -> Float32[np.ndarray, "N 2"]:
        """The heads that count: in the image, and `_SEEN_SHARE` of their pixels and `least` pixels are visible."""
        height, width = shown.shape
        seen = np.bincount(shown.ravel(), minlength=len(self.spots) + 1)[1:]
        inside = ((self.heads >= 0) & (self.heads < (width, height))).all(1)
        counts = inside & (seen >= np.maximum(_SEEN_SHARE * self.sizes, max(least, 1)))
        return self.heads[counts].astype(np.float32).reshape(-1, 2)


def _choose(
    rng: np.random.Generator, camera: Camera, light: surroundings.Light, spots: Spots, *, seated: bool
) -> list[tuple[sprites.Sprite, bool]]:
    """For everyone a sprite that is seen and lit as they are; mirrored if that fits."""
    bank = sprites.read_bank()
    elevations = np.array([s.elevation for s in bank])
    azimuths = np.array([s.azimuth for s in bank])
    suns = np.array([s.sun for s in bank])
    sitting = np.array([s.activity == "sit" for s in bank])
    away = np.hypot(spots[:, 0], spots[:, 1])
    wanted = np.degrees(np.arctan2(camera.height - spots[:, 2] - _MIDDLE, np.maximum(away, 0.5)))
    # Azimuth of the camera from the person's front.
    around = spots[:, 3] + np.degrees(np.arctan2(spots[:, 0], spots[:, 1]))
    share = rng.uniform(0.6, 1.0) if seated else rng.choice([0.0, 0.0, 0.03])
    sits = rng.random(len(spots)) < share
    # Umbrellas come out together: everywhere in the rain and in strong sun, otherwise nowhere.
    umbrellas = np.array([s.holds == "umbrella" for s in bank]) * (0.0 if rng.random() < 0.1 else 20.0)
    # Columns: the bank as it is, then mirrored. The sun's direction changes sides with the azimuth.
    azimuths, suns = np.concatenate([azimuths, -azimuths]), np.concatenate([suns, -suns])
    lit = np.abs(suns - light.sun) / 40 if light.sun else (suns != 0) * 1.5
    same = np.concatenate([umbrellas, umbrellas]) + lit
    chosen: list[tuple[sprites.Sprite, bool]] = []
    for part in np.array_split(np.arange(len(spots)), max(1, len(spots) // _CHUNK)):
        cost = np.abs(elevations - wanted[part, None]) / 6 + 10 * (sitting != sits[part, None])
        turned = np.abs((azimuths - around[part, None] + 180) % 360 - 180) / 45
        best = np.argpartition(np.hstack([cost, cost]) + turned + same, _BEST, axis=1)[:, :_BEST]
        numbers = best[np.arange(len(part)), rng.integers(_BEST, size=len(part))].tolist()
        chosen += [(bank[number % len(bank)], number >= len(bank)) for number in numbers]
    return chosen


def _gains(rng: np.random.Generator, number: int) -> Float32[np.ndarray, "N 5 3"]:
    """Factors on the colors of people: clothes get other colors, all else gets lighter or darker."""
    gains = np.ones((number, 5, 3))
    gains *= rng.uniform(0.85, 1.15, (number, 1, 1))
    for region in (sprites.UPPER, sprites.LOWER):
        hue = rng.dirichlet([60, 60, 60], number) * 3
        gains[:, region] *= np.where(
            rng.random((number, 1)) < 0.6, hue * rng.uniform(0.5, 1.5, (number, 1)), 1
        )
    return gains.astype(np.float32)


def _detail(rng: np.random.Generator, number: int) -> Float32[np.ndarray, "N 5"]:
    """How strongly a cloth shows: on clothes from a little to fully, on heads, skin and bags a little."""
    detail = np.zeros((number, 5))
    detail[:, [sprites.OTHER, sprites.HEAD]] = rng.uniform(0, 0.35, (number, 1))
    detail[:, [sprites.UPPER, sprites.LOWER]] = rng.uniform(0.1, 1, (number, 2))
    return detail.astype(np.float32)


def _paint(
    rng: np.random.Generator, brush: surroundings.Brush, crowd: _Crowd, things: list[tuple[str, float, float]]
) -> None:
    """Paint people and things from far to near."""
    waiting = sorted(things, key=lambda thing: -thing[2])
    for number in range(len(crowd.spots)):
        while waiting and waiting[0][2] > crowd.spots[number, 1]:
            name, x, z = waiting.pop(0)
            surroundings.THINGS[name](rng, brush, x, z)
        _paint_person(rng, brush, crowd, number)
    for name, x, z in waiting:
        surroundings.THINGS[name](rng, brush, x, z)


def _paint_person(rng: np.random.Generator, brush: surroundings.Brush, crowd: _Crowd, number: int) -> None:
    sprite, mirrored = crowd.which[number]
    scale, angle = float(crowd.scale[number]), float(crowd.angle[number])
    image, regions, head = sprites.at_scale(sprite, scale, mirrored, angle)
    left, top = (int(round(v)) for v in crowd.heads[number] - head)
    # Whole pixels: the head is drawn where the sprite was put, so its position is that of its pixels.
    crowd.heads[number] = head + (left, top)
    solid, is_head = image[..., 3] > 127, regions == sprites.HEAD  # solid pixels hide what is behind them
    crowd.sizes[number] = np.count_nonzero(is_head & solid)
    found = surroundings.overlap(brush.canvas, image, left, top)
    if found is None:
        return
    covered, part = found
    image, regions, solid, is_head = image[part], regions[part], solid[part], is_head[part]
    alpha = image[..., 3:].astype(np.float32) / 255
    # Like the sprite, the air before it is multiplied by alpha.
    clear = float(np.exp(-crowd.depth[number] / brush.light.haze_range))
    worn = cloth.piece(rng, int(crowd.cloth[number]), sprite.metre * scale, *regions.shape)
    # In place, because a packed scene spends most of its time here.
    color = worn - 1
    color *= np.take(crowd.detail[number], regions)[..., None]
    color += 1
    color *= np.take(crowd.gains[number], regions, axis=0)
    color *= image[..., :3]
    np.minimum(color, 255 * alpha, out=color)
    color *= clear
    color += alpha * ((1 - clear) * brush.light.haze.astype(np.float32))
    canvas = brush.canvas[covered]
    canvas *= 1 - alpha
    canvas += color
    np.copyto(brush.heads[covered], np.where(is_head, number + 1, 0), where=solid, casting="unsafe")


def _photographed(rng: np.random.Generator, canvas: np.ndarray) -> UInt8[np.ndarray, "H W 3"]:
    """The image as a phone or a surveillance camera took it."""
    return optics.photograph(rng, np.clip(canvas, 0, 255).round().astype(np.uint8))


def _lit(
    rng: np.random.Generator, canvas: np.ndarray, light: surroundings.Light, look: Look
) -> UInt8[np.ndarray, "H W 3"]:
    """The image under its light, as an ordinary camera exposes it."""
    rows, columns = canvas.shape[:2]
    gain = np.broadcast_to(light.gain, (rows, columns, 3)).astype(np.float32)
    if light.name in ("night", "stage"):
        lamps = np.full((rows // 8, columns // 8, 3), rng.uniform(0.25, 0.45), np.float32)
        yy, xx = np.mgrid[: rows // 8, : columns // 8]
        for _ in range(rng.integers(2, 7)):
            color = np.array([1.0, 0.85, 0.6]) if light.name == "night" else rng.dirichlet([2, 2, 2]) * 2.2
            x, y, reach = rng.uniform(0, columns / 8), rng.uniform(0, rows / 8), rng.uniform(8, 45)
            lamps += (rng.uniform(0.3, 1.0) * np.exp(-((xx - x) ** 2 + (yy - y) ** 2) / reach**2))[
                ..., None
            ] * color
        gain = gain * cv2.resize(lamps, (columns, rows), interpolation=cv2.INTER_CUBIC)
    elif light.name == "sun":
        gain = gain * 1.05
        if rng.random() < 0.3:
            gain = gain * _dappled(rng, rows, columns)
    image = canvas * gain
    # Most cameras and most light show less color than paint has. One image in twelve is grey.
    saturation = 0.0 if rng.random() < 1 / 12 else rng.uniform(0.5, 1.1)
    image = saturation * image + (1 - saturation) * image.mean(-1, keepdims=True)
    # The camera exposes for the middle of what it sees. What is far brighter or darker is lost.
    level = rng.uniform(*(_DARK if light.name in ("night", "stage") else look.exposure))
    image = image * (level / max(float(image.mean()), 20.0))
    # Cameras stretch what is all grey. In haze a person would not see most heads otherwise.
    contrast = max(rng.uniform(0.9, 1.7), min(_LEAST_CONTRAST / max(float(image.std()), 1.0), 3.0))
    image = level + (image - level) * np.float32(contrast)
    if rng.random() < 0.6:  # as cameras and photographs on the web are sharpened
        smooth = cv2.GaussianBlur(image, (0, 0), rng.uniform(0.7, 1.6))
        image = image + np.float32(rng.uniform(0.2, 1.2)) * (image - smooth)
    return np.clip(image, 0, 255).round().astype(np.uint8)


def _dappled(rng: np.random.Generator, rows: int, columns: int) -> Float32[np.ndarray, "H W 1"]:
    """How much of the sun comes through leaves."""
    side = 256
    through = noise(rng, side, int(rng.choice([16, 32, 64])), 0.8, coarsest=8)
    through = cv2.resize(through, (columns, rows), interpolation=cv2.INTER_LINEAR)
    bright = np.clip(0.5 + rng.uniform(0.5, 2) * (through - rng.uniform(-1, 1)), 0, 1)
    return (1 - rng.uniform(0.3, 0.6) * (1 - bright))[..., None].astype(np.float32)
