"""People: their appearance, their shadows on the ground, and how they are drawn."""

import dataclasses
import math

import cv2
import numpy as np

from cc_jax.data.scenes.canvas import Camera, Canvas, Colour, LocalAxes, Spot
from cc_jax.data.scenes.looks import Look

# Radius of a head in meters.
HEAD = 0.115
# Radius of a head in canvas pixels from which on faces, hands and shoes are drawn.
_DETAIL = 4.0


@dataclasses.dataclass(frozen=True)
class Person:
    """A person. Colors are RGB.

    Attributes:
      x: Position to the right, in meters.
      z: Position forward, in meters.
      facing: Direction in radians. 0 is towards the camera.
      height: Height in meters.
      girth: Factor on the width of the body.
      stride: How far the legs are apart, negative or positive.
      arm: How far the arms are bent, 0 to 1.
      skin: Color of the skin.
      hair: Color of the hair.
      top: Color of the clothes of the upper body.
      bottom: Color of the clothes of the lower body.
      hat: Color of the hat, or None.
      bag: Color of the bag, or None.
      umbrella: Color of the umbrella, or None.
      long_hair: Whether the hair is long.
      dress: Whether the person wears a dress.
    """

    x: float
    z: float
    facing: float
    height: float
    girth: float
    stride: float
    arm: float
    skin: Colour
    hair: Colour
    top: Colour
    bottom: Colour
    hat: Colour | None
    bag: Colour | None
    umbrella: Colour | None
    long_hair: bool
    dress: bool


def make_people(rng: np.random.Generator, spots: np.ndarray, look: Look) -> list[Person]:
    """Draw a person for every spot (x, z, facing). Far ones come first."""
    spots, n = spots[np.argsort(-spots[:, 1])], len(spots)
    child = rng.random(n) < 0.07
    height = np.where(child, rng.uniform(1.1, 1.4, n), np.clip(rng.normal(1.71, 0.09, n), 1.48, 1.97))
    girth, stride, arm = rng.uniform(0.85, 1.2, n), rng.uniform(-0.25, 0.25, n), rng.random(n)
    body = np.column_stack([spots, height, girth, stride, arm]).tolist()
    tint = rng.uniform(0.85, 1.12, (n, 1)) + rng.normal(0, 0.03, (n, 3))
    colours = [_pick_colors(rng, palette, n) for palette in (look.skins, look.hairs)]
    colours += [_pick_colors(rng, palette, n, tint) for palette in (look.tops, look.bottoms)]
    extras = [
        [
            colour if has else None
            for colour, has in zip(_pick_colors(rng, look.tops, n), rng.random(n) < share, strict=True)
        ]
        for share in (look.hats, look.bags, look.umbrellas)
    ]
    styles = [(rng.random(n) < share).tolist() for share in (0.4, 0.15)]
    return [Person(*row, *rest) for row, *rest in zip(body, *colours, *extras, *styles, strict=True)]


def _pick_colors(
    rng: np.random.Generator, palette: np.ndarray, n: int, tint: np.ndarray | float = 1.0
) -> list[Colour]:
    return [(r, g, b) for r, g, b in (palette[rng.integers(len(palette), size=n)] * tint).tolist()]


def head_positions(people: list[Person]) -> np.ndarray:
    """Return the world positions of the centers of the heads, [N, 3]."""
    return np.array([[p.x, p.height - 0.12, p.z] for p in people]).reshape(-1, 3)


def shadow_mask(people: list[Person], camera: Camera, look: Look, step: int) -> np.ndarray:
    """Return the share of light that people take from the ground, 0 to 1, [rows / step, columns / step]."""
    mask = np.zeros((camera.rows // step, camera.columns // step), np.uint8)
    for person in people:
        if look.sun is None:
            _blob(mask, camera, person, step)
        else:
            _cast(mask, camera, person, look.sun, step)
    return mask.astype(np.float32) / 255


def _blob(mask: np.ndarray, camera: Camera, person: Person, step: int) -> None:
    """Draw the dark patch under the feet in diffuse light."""
    angle = np.linspace(0, 2 * np.pi, 12, endpoint=False)
    ring = np.stack([person.x + 0.33 * np.cos(angle), 0 * angle, person.z + 0.28 * np.sin(angle)], axis=1)
    _fill(mask, camera.project(ring)[0] / step)


def _cast(mask: np.ndarray, camera: Camera, person: Person, sun: tuple[float, float], step: int) -> None:
    """Draw the shadow of a body and a head in sunlight."""
    along = np.array(sun) * person.height
    across = 0.19 * np.array([-sun[1], sun[0]]) / max(np.hypot(*sun), 1e-6)
    shape = [
        (0, -0.7),
        (0.45, -1),
        (0.82, -1),
        (0.9, -0.5),
        (1.0, -0.4),
        (1.0, 0.4),
        (0.9, 0.5),
        (0.82, 1),
        (0, 0.7),
    ]
    flat = np.array([person.x, person.z]) + np.array([a * along + b * across for a, b in shape])
    _fill(mask, camera.project(np.column_stack([flat[:, 0], np.zeros(len(flat)), flat[:, 1]]))[0] / step)


def _fill(mask: np.ndarray, points: np.ndarray) -> None:
    fixed = np.rint(np.clip(points, -4000, 4000) * 16).astype(np.int32)
    cv2.fillPoly(mask, [fixed], 255, cv2.LINE_AA, 4)


def draw_person(canvas: Canvas, axes: LocalAxes, person: Person, look: Look, head: int) -> None:
    """Draw a person. The pixels of the head get the number `head`."""
    if axes.scale * HEAD < _DETAIL:
        _draw_small(canvas, axes, person, look, head)
    else:
        _draw_large(canvas, axes, person, look, head)
    if person.umbrella is not None:
        _draw_umbrella(canvas, axes, person, person.umbrella)


def axes_of(people: list[Person], camera: Camera) -> list[LocalAxes]:
    """Return the coordinate system of each person."""
    if not people:
        return []
    x, z, height = np.array([(p.x, p.z, p.height) for p in people]).T
    feet, below = camera.project(np.stack([x, 0 * x, z], axis=1))
    tops, above = camera.project(np.stack([x, height, z], axis=1))
    depth, up = (below + above) / 2, (tops - feet) / height[:, None]
    above_them = np.maximum(camera.height - 1.5, 0)
    steep = above_them / np.hypot(np.hypot(x, z), above_them)
    scale = camera.focal / depth
    side = scale[:, None] * np.array([np.cos(camera.roll), np.sin(camera.roll)])
    rows = zip(*(a.tolist() for a in (feet, up, side, scale, depth, steep)), strict=True)
    return [LocalAxes(tuple(a), tuple(b), tuple(c), *numbers) for a, b, c, *numbers in rows]


def _torso(person: Person, low: float) -> list[Spot]:
    """Return the outline of the upper body (side, up) in meters, from `low` (a share of the height) to the shoulders."""
    h, w = person.height, person.girth * (0.75 + 0.25 * abs(math.cos(person.facing)))
    hip = 0.17 if low > 0.45 else 0.21
    right = [
        (hip * w, low * h),
        (0.15 * w, 0.62 * h),
        (0.215 * w, 0.77 * h),
        (0.17 * w, 0.835 * h),
        (0.06, 0.86 * h),
    ]
    return right + [(-x, y) for x, y in reversed(right)]


def _draw_small(canvas: Canvas, axes: LocalAxes, person: Person, look: Look, head: int) -> None:
    """Draw a small person with few shapes: legs, body, head with hair."""
    h, d = person.height, axes.depth
    legs = [(-0.15, 0.02), (-0.16, 0.55 * h), (0.16, 0.55 * h), (0.13 + person.stride * 0.2, 0.02)]
    canvas.polygon(axes.outline(legs), canvas.hazed(person.bottom, d, 0.85), solid=True)
    body = axes.outline(_torso(person, 0.3 if person.dress else 0.48))
    canvas.polygon(body, canvas.hazed(person.top, d), solid=True)
    half = [axes.spot(0.02 * look.side, 0.8 * h), axes.spot(0.02 * look.side, 0.5 * h)]
    dark = body[len(body) // 2 :] if look.side > 0 else body[: len(body) // 2]
    canvas.polygon(
        np.array([*dark, *(half if look.side < 0 else reversed(half))]), canvas.hazed(person.top, d, 0.8)
    )
    radius = HEAD * axes.scale
    cap = person.hair if person.hat is None else person.hat
    canvas.ellipse(axes.spot(0, h - 0.12), (radius, radius * 1.15), canvas.hazed(cap, d), head=head)
    if math.cos(person.facing) > -0.3:
        face = axes.spot(0.04 * math.sin(person.facing), h - 0.15 - 0.05 * axes.steep)
        canvas.ellipse(face, (radius * 0.75, radius * 0.8), canvas.hazed(person.skin, d))


def _draw_large(canvas: Canvas, axes: LocalAxes, person: Person, look: Look, head: int) -> None:
    """Draw a large person in detail: shoes, legs, coat, arms and hands, bag, neck, head, face, hat."""
    _draw_legs(canvas, axes, person)
    away = math.cos(person.facing) < 0
    if person.bag is not None and not away:
        _draw_bag(canvas, axes, person, person.bag)
    _draw_arm(canvas, axes, person, -look.side, 0.72)
    _draw_torso(canvas, axes, person, look)
    _draw_arm(canvas, axes, person, look.side, 1.0)
    if person.bag is not None and away:
        _draw_bag(canvas, axes, person, person.bag)
    _draw_head(canvas, axes, person, look, head)


def _draw_legs(canvas: Canvas, axes: LocalAxes, person: Person) -> None:
    h, s, d = person.height, axes.scale, axes.depth
    swing = person.stride * abs(math.sin(person.facing))
    cloth, thick = (person.skin, 0.1) if person.dress else (person.bottom, 0.125)
    for sign, shade in ((-1, 0.72), (1, 0.95)):
        hip, knee = axes.spot(0.075 * sign, 0.5 * h), axes.spot(sign * (0.08 + 0.5 * swing), 0.27 * h)
        foot = axes.spot(sign * (0.085 + swing), 0.05 + 0.06 * abs(person.stride) * (sign > 0))
        colour = canvas.hazed(cloth, d, shade)
        canvas.line(hip, knee, 0.155 * s * person.girth, colour, solid=True)
        canvas.line(knee, foot, thick * s, colour, solid=True)
        canvas.ellipse(foot, (0.09 * s, 0.055 * s), canvas.hazed(person.hair, d, 0.8))


def _draw_torso(canvas: Canvas, axes: LocalAxes, person: Person, look: Look) -> None:
    h, d, places = person.height, axes.depth, _torso(person, 0.28 if person.dress else 0.46)
    canvas.polygon(axes.outline(places), canvas.hazed(person.top, d, 0.97), solid=True)
    half = len(places) // 2
    middle = [(-0.05 * look.side, 0.84 * h), (-0.03 * look.side, 0.5 * h)]
    # The half that the light does not reach. The outline runs from the right hip over the shoulders to the left hip.
    dark = [*places[half:], *reversed(middle)] if look.side > 0 else [*places[:half], *middle]
    canvas.polygon(axes.outline(dark), canvas.hazed(person.top, d, 0.78))
    radii = 0.195 * person.girth * axes.scale, (0.035 + 0.1 * axes.steep) * axes.scale
    canvas.ellipse(axes.spot(0, 0.825 * h), radii, canvas.hazed(person.top, d, 1.08))


def _draw_arm(canvas: Canvas, axes: LocalAxes, person: Person, sign: int, shade: float) -> None:
    h, w, s, bend = person.height, person.girth, axes.scale, 0.1 * person.arm
    shoulder = axes.spot(0.195 * w * sign, 0.79 * h)
    elbow = axes.spot((0.245 * w + 0.3 * bend) * sign, 0.63 * h)
    hand = axes.spot((0.24 * w - bend) * sign, (0.47 + 1.4 * bend * person.arm) * h)
    colour = canvas.hazed(person.top, axes.depth, 0.95 * shade)
    canvas.line(shoulder, elbow, 0.1 * s, colour, solid=True)
    canvas.line(elbow, hand, 0.08 * s, colour, solid=True)
    canvas.ellipse(hand, (0.045 * s, 0.045 * s), canvas.hazed(person.skin, axes.depth, shade))


def _draw_bag(canvas: Canvas, axes: LocalAxes, person: Person, colour: Colour) -> None:
    h = person.height
    left = [(-0.15, 0.55 * h), (-0.17, 0.74 * h), (-0.1, 0.81 * h)]
    places = left + [(-x, y) for x, y in reversed(left)]
    canvas.polygon(axes.outline(places), canvas.hazed(colour, axes.depth, 0.85), solid=True)


def _draw_head(canvas: Canvas, axes: LocalAxes, person: Person, look: Look, head: int) -> None:
    h, s, d = person.height, axes.scale, axes.depth
    middle = axes.spot(0, h - 0.12)
    front = math.cos(person.facing) > -0.35
    neck = axes.spot(0, 0.86 * h), middle, 0.1 * s, canvas.hazed(person.skin, d, 0.75)
    if not front:
        canvas.line(*neck, solid=True)
    if person.long_hair:
        nape = axes.spot(-0.02 * math.sin(person.facing), h - 0.2)
        canvas.ellipse(nape, (0.115 * s, 0.15 * s), canvas.hazed(person.hair, d, 0.85), head=head)
    if front:
        canvas.line(*neck, solid=True)
    canvas.ellipse(middle, (HEAD * 0.95 * s, HEAD * 1.15 * s), canvas.hazed(person.hair, d), head=head)
    if front:
        _draw_face(canvas, axes, person, look)
    shine = axes.spot(0.04 * look.side, h - 0.06)
    canvas.ellipse(shine, (0.05 * s, 0.03 * s), canvas.hazed(person.hair, d, 1.35))
    if person.hat is not None:
        _draw_hat(canvas, axes, person, person.hat)


def _draw_face(canvas: Canvas, axes: LocalAxes, person: Person, look: Look) -> None:
    s, d, turn = axes.scale, axes.depth, math.sin(person.facing)
    high, narrow = person.height - 0.155 - 0.04 * axes.steep, 1 - 0.25 * abs(turn)
    shaded, lit = axes.spot(0.045 * turn, high), axes.spot(0.045 * turn + 0.02 * look.side, high - 0.005)
    canvas.ellipse(shaded, (0.088 * s * narrow, 0.1 * s), canvas.hazed(person.skin, d, 0.86))
    canvas.ellipse(lit, (0.068 * s * narrow, 0.088 * s), canvas.hazed(person.skin, d))
    if s * HEAD > 9:
        dark = canvas.hazed(person.hair, d, 0.6)
        for x, y, rx, ry in (
            (-0.035, 0.01, 0.012, 0.009),
            (0.035, 0.01, 0.012, 0.009),
            (0, -0.05, 0.025, 0.006),
        ):
            canvas.ellipse(axes.spot(0.06 * turn + x * narrow, high + y), (rx * s, ry * s), dark)


def _draw_hat(canvas: Canvas, axes: LocalAxes, person: Person, colour: Colour) -> None:
    h, s, d = person.height, axes.scale, axes.depth
    crown = axes.spot(0, h - 0.085)
    brim = axes.spot(0.05 * math.sin(person.facing), h - 0.09 - 0.03 * axes.steep)
    canvas.ellipse(brim, (0.15 * s, (0.03 + 0.07 * axes.steep) * s), canvas.hazed(colour, d, 0.75))
    canvas.ellipse(crown, (0.112 * s, 0.1 * s), canvas.hazed(colour, d), arc=(180, 360))
    canvas.ellipse(crown, (0.112 * s, (0.02 + 0.05 * axes.steep) * s), canvas.hazed(colour, d))


def _draw_umbrella(canvas: Canvas, axes: LocalAxes, person: Person, colour: Colour) -> None:
    """Draw an umbrella above the head. Seen from high up, it hides the head."""
    h, s, d = person.height, axes.scale, axes.depth
    hand, top = axes.spot(0.2, 0.65 * h), axes.spot(0.1, h + 0.3)
    canvas.line(hand, top, 0.025 * s, canvas.hazed((60, 60, 60), d))
    rim = 0.52 * s, (0.08 + 0.42 * axes.steep) * s
    canvas.ellipse(top, (0.52 * s, 0.36 * s), canvas.hazed(colour, d), arc=(180, 360), head=0)
    canvas.ellipse(top, rim, canvas.hazed(colour, d, 0.8), head=0)
