"""What people wear: skin, hair, hats, clothes, bags and umbrellas, as surfaces around a posed body."""

import dataclasses

import numpy as np
from jaxtyping import Float, Int, UInt8

from cc_jax.data.scenes.canvas import pure_color
from cc_jax.data.scenes.sprites import HEAD, LOWER, OTHER, UPPER
from cc_jax.tools.people import body

Points = Float[np.ndarray, "N 3"]
Triangles = Int[np.ndarray, "T 3"]
Color = Float[np.ndarray, "3"]


@dataclasses.dataclass(frozen=True)
class Surface:
    """A mesh with its color.

    Attributes:
      vertices: in metres.
      triangles: rows of `vertices`.
      region: HEAD, UPPER, LOWER or OTHER of `scenes.sprites`. Clothes, above and below the waist, can be given other
        colors when a scene is composed.
      color: reflectance between 0 and 1, of all or of each vertex.
      pattern: an image that is repeated over the surface instead, or None.
      places: where each vertex lies on the pattern; one unit is one pattern.
    """

    vertices: Points
    triangles: Triangles
    region: int
    color: np.ndarray
    pattern: UInt8[np.ndarray, "H W 3"] | None = None
    places: Float[np.ndarray, "N 2"] | None = None


@dataclasses.dataclass(frozen=True)
class Outfit:
    """What a person wears. Lengths are in metres."""

    skin: Color
    hair: Color
    hair_style: str  # bald, short, full, long, curly, bun
    hat: str  # none, cap, beanie, brim, hood, scarf, helmet
    hat_color: Color
    upper: str  # shirt, sleeves, jacket, vest, coat, dress, robe
    upper_color: Color
    upper_pattern: str  # plain, stripes, checks, print, two
    lower: str  # trousers, shorts, skirt, long skirt
    lower_color: Color
    shoes: Color
    bag: str  # none, backpack, shoulder
    bag_color: Color


_NATURAL_HAIR = (
    (0.015, 0.012, 0.010),
    (0.03, 0.02, 0.014),
    (0.08, 0.045, 0.025),
    (0.17, 0.10, 0.05),
    (0.4, 0.28, 0.13),
)


def sample(rng: np.random.Generator, shape: body.Shape) -> Outfit:
    """Choose what a person of this shape wears."""
    woman, old, child = shape.gender < 0.5, shape.age > 0.75, shape.age < 0.3
    african, asian, caucasian = shape.ancestry
    dark = np.clip(african * 0.9 + asian * 0.3 + caucasian * 0.1 + rng.normal(0, 0.1), 0, 1)
    skin = (1 - dark) * np.array([0.56, 0.36, 0.27]) + dark * np.array([0.085, 0.045, 0.03])
    light_hair = caucasian * rng.random()
    hair = np.array(_NATURAL_HAIR[min(4, int(light_hair * 5.5))])
    if old and rng.random() < 0.75:
        hair = np.full(3, rng.uniform(0.25, 0.65))
    if woman:
        style = rng.choice(["short", "full", "long", "curly", "bun"], p=[0.08, 0.12, 0.5, 0.1, 0.2])
        upper = rng.choice(
            ["shirt", "sleeves", "jacket", "vest", "coat", "dress", "robe"],
            p=[0.27, 0.26, 0.19, 0.08, 0.07, 0.1, 0.03],
        )
        lower = rng.choice(["trousers", "shorts", "skirt", "long skirt"], p=[0.62, 0.14, 0.14, 0.1])
    else:
        style = rng.choice(
            ["bald", "short", "full", "long", "curly"],
            p=[0.22 if old else 0.06, 0.55, 0.26 if not old else 0.1, 0.03, 0.1],
        )
        upper = rng.choice(
            ["shirt", "sleeves", "jacket", "vest", "coat", "robe"], p=[0.4, 0.27, 0.22, 0.04, 0.04, 0.03]
        )
        lower = rng.choice(["trousers", "shorts"], p=[0.8, 0.2])
    hat = rng.choice(
        ["none", "cap", "beanie", "brim", "hood", "scarf", "helmet"],
        p=[0.7, 0.11, 0.05, 0.05, 0.04, 0.04 if woman else 0.0, 0.01 if woman else 0.05],
    )
    if child:
        upper = rng.choice(["shirt", "sleeves", "jacket"])
    return Outfit(
        skin=skin,
        hair=hair,
        hair_style=str(style),
        hat=str(hat),
        hat_color=_cloth_color(rng),
        upper=str(upper),
        upper_color=_cloth_color(rng),
        upper_pattern=str(
            rng.choice(["plain", "stripes", "checks", "print", "two"], p=[0.6, 0.1, 0.08, 0.14, 0.08])
        ),
        lower=str(lower),
        lower_color=_trouser_color(rng),
        shoes=_cloth_color(rng) * 0.5,
        bag=str(rng.choice(["none", "backpack", "shoulder"], p=[0.76, 0.14, 0.1])),
        bag_color=_cloth_color(rng) * 0.7,
    )


def _cloth_color(rng: np.random.Generator) -> Color:
    """Reflectance of a cloth: black, white and grey are more common than vivid colors."""
    kind = rng.random()
    if kind < 0.28:
        return np.full(3, rng.uniform(0.012, 0.06))
    if kind < 0.46:
        return np.full(3, rng.uniform(0.5, 0.8))
    if kind < 0.58:
        return np.full(3, rng.uniform(0.1, 0.4))
    hue = rng.choice([0.0, 0.6, 0.1, 0.35, 0.88], p=[0.26, 0.36, 0.12, 0.1, 0.16]) + rng.normal(0, 0.03)
    return _from_hsv(hue, rng.uniform(0.25, 0.9), rng.uniform(0.08, 0.7))


def _trouser_color(rng: np.random.Generator) -> Color:
    if rng.random() < 0.4:  # jeans
        return np.array([0.05, 0.08, 0.16]) * rng.uniform(0.4, 2.2)
    return _cloth_color(rng) * rng.uniform(0.4, 1.0)


def _from_hsv(hue: float, saturation: float, value: float) -> Color:
    return value * (1 - saturation + saturation * pure_color(hue))


def dress(
    model: body.BodyModel, posed: body.Posed, outfit: Outfit, rng: np.random.Generator, *, umbrella: bool
) -> list[Surface]:
    """The surfaces of a person: the body and all that covers it."""
    surfaces = [*_skin(model, posed, outfit), *_hair(model, posed, outfit, rng), *_hat(model, posed, outfit)]
    surfaces += _clothes(model, posed, outfit, rng)
    if outfit.bag == "backpack":
        surfaces.append(
            _on_bone(
                posed,
                "spine_03",
                _rounded_box((0.14, 0.2, 0.075)),
                _torso_point(model, posed, 0.3, -0.12),
                OTHER,
                outfit.bag_color,
            )
        )
    elif outfit.bag == "shoulder":
        side = rng.choice([-1, 1])
        place = _torso_point(model, posed, -0.15, 0.0) + [side * 0.22, 0, 0]
        surfaces.append(
            _on_bone(posed, "pelvis", _rounded_box((0.045, 0.1, 0.14)), place, OTHER, outfit.bag_color)
        )
    if umbrella:
        surfaces.append(_umbrella(model, posed, rng))
    return surfaces


def _surface(vertices: Points, triangles: Triangles, region: int, color: np.ndarray, **options) -> Surface:
    """A surface without the vertices that no triangle uses."""
    used, rows = np.unique(triangles, return_inverse=True)
    if "places" in options:
        options["places"] = options["places"][used]
    if color.ndim == 2:
        color = color[used]
    return Surface(vertices[used], rows.reshape(-1, 3), region, color, **options)


def vertex_normals(vertices: Points, triangles: Triangles) -> Points:
    """Unit normals of the vertices: the mean of their triangles' normals, weighted by area. Zero without triangles."""
    a, b, c = (vertices[triangles[:, i]] for i in range(3))
    across = np.cross(b - a, c - a)
    normals = np.zeros_like(vertices)
    for column in range(3):
        np.add.at(normals, triangles[:, column], across)
    return normals / np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-12)


def _shell(
    posed: body.Posed,
    normals: Points,
    thick: float | np.ndarray,
    triangles: Triangles,
    region: int,
    color: np.ndarray,
    **options,
) -> Surface:
    """A surface of the body moved outwards; `thick` is in metres, of all or of each vertex."""
    moved = posed.vertices + normals * np.broadcast_to(thick, len(normals))[:, None]
    return _surface(moved, triangles, region, color, **options)


def _wobble(points: Points, rng: np.random.Generator, size: float) -> np.ndarray:
    """Smooth noise of standard deviation 1 over points: a sum of waves of about `size` metres."""
    total = np.zeros(len(points))
    for _ in range(12):
        wave = rng.normal(size=3) * 2 * np.pi / size / 1.7
        total += np.sin(points @ wave + rng.uniform(0, 2 * np.pi))
    return total / np.sqrt(6)


def _of_body(model: body.BodyModel, part: str, keep: np.ndarray) -> Triangles:
    """The triangles of a part of the body whose corners are all kept."""
    triangles = model.triangles[part]
    return triangles[keep[triangles].all(1)]


def _eye_level(model: body.BodyModel, posed: body.Posed) -> np.ndarray:
    first, end = body.PARTS["eyes"]
    return posed.rest[first:end].mean(0)


def _head_height(model: body.BodyModel, posed: body.Posed) -> float:
    """From the chin to the crown, in metres of the rest pose: twice as far as from the eyes to the crown."""
    first, end = body.PARTS["body"]
    return 2.0 * float(posed.rest[first:end, 1].max() - _eye_level(model, posed)[1])


def _skin(model: body.BodyModel, posed: body.Posed, outfit: Outfit) -> list[Surface]:
    on_head = model.bone_weight("head") > 0.5
    rest, eye, unit = posed.rest, _eye_level(model, posed), _head_height(model, posed)
    color = np.tile(outfit.skin, (len(rest), 1))
    relative = (rest - eye) / unit
    across, up, ahead = np.abs(relative[:, 0]), relative[:, 1], relative[:, 2]
    brow = (np.abs(up - 0.09) < 0.025) & (np.abs(across - 0.14) < 0.09) & (ahead > 0)
    lips = (np.abs(up + 0.33) < 0.035) & (across < 0.1) & (ahead > 0.02)
    color[brow & on_head] = outfit.hair * 0.8 + outfit.skin * 0.1
    color[lips & on_head] = outfit.skin * [0.95, 0.6, 0.6]
    foot = model.bone_weight("foot_l", "foot_r", "ball_l", "ball_r") > 0.5
    body_triangles = model.triangles["body"]
    head = on_head[body_triangles].all(1)
    shoes = foot[body_triangles].all(1)
    eyes = np.tile([0.25, 0.22, 0.2], (len(rest), 1))
    normals = vertex_normals(posed.vertices, body_triangles)
    return [
        _surface(posed.vertices, body_triangles[head], HEAD, color),
        _surface(posed.vertices, body_triangles[~head & ~shoes], OTHER, color),
        _shell(posed, normals, 0.008, body_triangles[shoes], OTHER, outfit.shoes),
        _surface(posed.vertices, model.triangles["eyes"], HEAD, eyes),
    ]


def _scalp(model: body.BodyModel, posed: body.Posed) -> np.ndarray:
    """Which vertices hair grows on: above the forehead, and behind the ears down to the neck."""
    relative = (posed.rest - _eye_level(model, posed)) / _head_height(model, posed)
    up, ahead = relative[:, 1], relative[:, 2]
    above = up > 0.2
    behind = (ahead < -0.42) & (up > -0.35)
    between = up > 0.2 - (0.12 - ahead) * 0.9  # the hairline falls from the forehead to the ears
    return (above | behind | (between & (ahead < 0.12) & (up > -0.02))) & (
        model.bone_weight("head", "neck_01") > 0.5
    )


def _hair(
    model: body.BodyModel, posed: body.Posed, outfit: Outfit, rng: np.random.Generator
) -> list[Surface]:
    if outfit.hair_style == "bald" or outfit.hat in ("scarf", "hood"):
        return []
    thick = {"short": 0.008, "full": 0.02, "long": 0.012, "curly": 0.045, "bun": 0.012}[outfit.hair_style]
    if outfit.hat != "none":
        thick = 0.002  # flat enough to stay below the hat
    triangles = _of_body(model, "body", _scalp(model, posed))
    normals = vertex_normals(posed.vertices, model.triangles["body"])
    bumps = _wobble(posed.rest, rng, 0.05 if outfit.hair_style != "curly" else 0.03)
    shade = 1 + 0.25 * _wobble(posed.rest, rng, 0.03)
    color = np.clip(outfit.hair * shade[:, None], 0.004, 0.9)
    surfaces = [_shell(posed, normals, thick * (1 + 0.25 * bumps), triangles, HEAD, color)]
    if outfit.hair_style == "long":
        eye, unit = _eye_level(model, posed), _head_height(model, posed)
        length = rng.uniform(0.5, 2.0)
        first, end = body.PARTS["hair"]
        keep = np.zeros(len(posed.rest), bool)
        strand = (posed.rest[first:end] - eye) / unit
        before_face = (np.abs(strand[:, 0]) < 0.3) & (strand[:, 1] < 0.22) & (strand[:, 2] > -0.1)
        keep[first:end] = (strand[:, 1] > -length) & ~before_face
        triangles = _of_body(model, "hair", keep)
        # What hangs below the chin is hair, but no part of the head that an annotator marks.
        hanging = posed.rest[triangles, 1].mean(1) < eye[1] - 0.5 * unit
        surfaces += [
            _surface(posed.vertices, triangles[~hanging], HEAD, color),
            _surface(posed.vertices, triangles[hanging], OTHER, color),
        ]
    if outfit.hair_style == "bun":
        size = rng.uniform(0.035, 0.055)
        place = _skull_point(model, posed, rng.uniform(0.0, 0.35), -1.0)
        surfaces.append(_on_bone(posed, "head", _ball(size), place, HEAD, outfit.hair))
    return surfaces


def _skull(model: body.BodyModel, posed: body.Posed) -> tuple[np.ndarray, np.ndarray]:
    """Centre and half extents of the skull in the rest pose."""
    points = posed.rest[: body.PARTS["body"][1]][_scalp(model, posed)[: body.PARTS["body"][1]]]
    top, unit = points[:, 1].max(), _head_height(model, posed)
    upper = points[points[:, 1] > top - 0.45 * unit]
    low, high = upper.min(0), upper.max(0)
    center, half = (low + high) / 2, (high - low) / 2
    return np.array([center[0], top - 0.42 * unit, center[2]]), np.array([half[0], 0.42 * unit, half[2]])


def head_center(model: body.BodyModel, posed: body.Posed) -> np.ndarray:
    """Where the middle of the head is: between the ears, half a head behind the eyes."""
    eye, unit = _eye_level(model, posed), _head_height(model, posed)
    return posed.carried("head", (eye - [0, 0, 0.3 * unit])[None])[0]


def hip_center(model: body.BodyModel, posed: body.Posed) -> np.ndarray:
    """Where the middle of the hip is: above the ground point that a person stands or sits on."""
    return posed.vertices[model.joints["pelvis"][0]].mean(0)


def _skull_point(model: body.BodyModel, posed: body.Posed, up: float, ahead: float) -> np.ndarray:
    center, half = _skull(model, posed)
    return center + half * [0, up, ahead]


def _hat(model: body.BodyModel, posed: body.Posed, outfit: Outfit) -> list[Surface]:
    center, half = _skull(model, posed)
    grow = half + 0.027
    color = outfit.hat_color
    kind = outfit.hat
    if kind == "none":
        return []
    if kind in ("scarf", "hood"):
        # Both cover all of the head but the face.
        relative = (posed.rest - _eye_level(model, posed)) / _head_height(model, posed)
        face = (relative[:, 2] > -0.1) & (relative[:, 1] < 0.24) & (np.abs(relative[:, 0]) < 0.32)
        keep = (model.bone_weight("head", "neck_01") > 0.5) & ~face
        normals = vertex_normals(posed.vertices, model.triangles["body"])
        out = 0.016 if kind == "scarf" else 0.035
        return [_shell(posed, normals, out, _of_body(model, "body", keep), HEAD, color)]
    low = {"cap": 0.05, "beanie": -0.25, "brim": 0.1, "helmet": -0.35}[kind]
    dome = _dome(low)
    surfaces = [
        _on_bone(
            posed,
            "head",
            (dome[0] * (grow + (0.012 if kind == "helmet" else 0)), dome[1]),
            center,
            HEAD,
            color,
        )
    ]
    if kind == "cap":
        visor = _disc(np.linspace(-1.1, 1.1, 17), 0.85, 1.75)
        tilted = visor[0] * [grow[0], 1, grow[2]] + [0, low * grow[1] + 0.005, 0]
        tilted[:, 1] -= 0.25 * np.clip(tilted[:, 2] - grow[2], 0, None)
        surfaces.append(_on_bone(posed, "head", (tilted, visor[1]), center, HEAD, color * 0.8))
    if kind == "brim":
        brim = _disc(np.linspace(-np.pi, np.pi, 41), 0.9, 1.75)
        flat = brim[0] * [grow[0], 1, grow[2]] + [0, low * grow[1], 0]
        surfaces.append(_on_bone(posed, "head", (flat, brim[1]), center, HEAD, color * 0.9))
    return surfaces


def _clothes(
    model: body.BodyModel, posed: body.Posed, outfit: Outfit, rng: np.random.Generator
) -> list[Surface]:
    rest, normals = posed.rest, vertex_normals(posed.vertices, model.triangles["tights"])
    arms = model.bone_weight("lowerarm_l", "lowerarm_r", "hand_l", "hand_r")
    legs = model.bone_weight("thigh_l", "thigh_r", "calf_l", "calf_r", "foot_l", "foot_r", "ball_l", "ball_r")
    hip = rest[model.joints["pelvis"][0]].mean(0)[1]
    ankle = rest[model.joints["foot_l"][0]].mean(0)[1]
    knee = rest[model.joints["calf_l"][0]].mean(0)[1]
    neck = rest[model.joints["neck_01"][0]].mean(0)[1]
    bulk = {
        "shirt": 0.014,
        "sleeves": 0.016,
        "jacket": 0.032,
        "vest": 0.01,
        "coat": 0.036,
        "dress": 0.012,
        "robe": 0.03,
    }[outfit.upper]
    hem = hip - (0.12 if outfit.upper == "coat" else rng.uniform(-0.02, 0.07))
    torso = (rest[:, 1] > hem) & (rest[:, 1] < neck + 0.05) & (model.bone_weight("head") < 0.5)
    bare = model.bone_weight("hand_l", "hand_r") > 0.4
    upper_arm = model.bone_weight("upperarm_l", "upperarm_r") > 0.5
    if outfit.upper == "shirt":
        torso &= arms < 0.35
    elif outfit.upper == "vest" or outfit.upper == "dress":
        torso &= (arms < 0.35) & ~(upper_arm & (rng.random() < 0.8))
    torso &= ~bare
    folds = _wobble(posed.vertices, rng, 0.16)
    # Clothes hang away from the body below: at the hem more than at the shoulders.
    hang = np.clip((neck - rest[:, 1]) / (neck - hem), 0, 1)
    out = bulk * (0.6 + 0.7 * hang + 0.2 * folds)
    places = np.stack([rest[:, 0], rest[:, 1]], 1)
    color = outfit.upper_color
    pattern = _pattern(outfit, rng, places)
    above = _shell(posed, normals, out, _of_body(model, "tights", torso), UPPER, color, **pattern)
    wide = rng.uniform(0.004, 0.022)
    trousers = (
        (rest[:, 1] < hip + 0.12)
        & (rest[:, 1] > ankle - 0.02)
        & (arms < 0.05)
        & (model.bone_weight("upperarm_l", "upperarm_r") < 0.05)
    )
    lower_color = outfit.lower_color
    if outfit.lower == "shorts":
        trousers &= rest[:, 1] > knee + rng.uniform(-0.05, 0.15)
    if outfit.lower in ("skirt", "long skirt") or outfit.upper in ("dress", "robe"):
        end = {"skirt": rng.uniform(0.0, 0.25), "long skirt": -0.3}.get(outfit.lower, rng.uniform(-0.35, 0.2))
        if outfit.upper == "robe":
            end = -0.42
        lower_color = color if outfit.upper in ("dress", "robe") else lower_color
        first, last = body.PARTS["skirt"]
        keep = np.zeros(len(rest), bool)
        keep[first:last] = rest[first:last, 1] > knee + end
        skirt_normals = vertex_normals(posed.vertices, model.triangles["skirt"])
        region = UPPER if outfit.upper in ("dress", "robe") else LOWER
        skirt, thick = _of_body(model, "skirt", keep), 0.01 + 0.008 * folds
        return [above, _shell(posed, skirt_normals, thick, skirt, region, lower_color)]
    leg_out = np.where(legs > 0.3, wide, 0.008) * (1 + 0.25 * folds)
    legs_of_cloth = _of_body(model, "tights", trousers)
    return [above, _shell(posed, normals, leg_out, legs_of_cloth, LOWER, lower_color)]


def _pattern(outfit: Outfit, rng: np.random.Generator, places: np.ndarray) -> dict:
    """The pattern of the upper clothes and where it lies; nothing if they are plain."""
    color, other = outfit.upper_color, _cloth_color(rng)
    image = np.tile(color, (64, 64, 1))
    kind = outfit.upper_pattern
    if kind == "plain":
        return {}
    if kind == "stripes":
        image[:32] = other
        scale, shift = rng.uniform(0.04, 0.14), 0.0
    elif kind == "checks":
        image[:20] = image[:20] * 0.5 + other * 0.5
        image[:, :20] = image[:, :20] * 0.5 + other * 0.5
        scale, shift = rng.uniform(0.04, 0.12), 0.0
    elif kind == "print":  # a block of marks on the chest
        image[38:56, 22:42] = np.where(rng.random((18, 20, 1)) < 0.6, other, color)
        scale, shift = 1.0, 0.5
    else:  # the upper part in another color
        image[44:] = other
        scale, shift = 1.2, 0.5
    encoded = np.round(255 * np.clip(image, 0, 1) ** (1 / 2.2)).astype(np.uint8)
    return {"pattern": encoded, "places": places / scale + [shift, shift - 0.25 * (scale >= 1)]}


# Simple bodies: (vertices, triangles) around the origin.


def _grid_triangles(rows: int, columns: int) -> Triangles:
    i, j = np.mgrid[: rows - 1, : columns - 1]
    a = (i * columns + j).ravel()
    return np.concatenate(
        [np.stack([a, a + columns, a + 1], 1), np.stack([a + 1, a + columns, a + columns + 1], 1)]
    )


def _dome(low: float) -> tuple[Points, Triangles]:
    """The part of the unit sphere above the height `low`."""
    polar, around = np.linspace(0, np.arccos(low), 12), np.linspace(0, 2 * np.pi, 33)
    p, a = np.meshgrid(polar, around, indexing="ij")
    points = np.stack([np.sin(p) * np.sin(a), np.cos(p), np.sin(p) * np.cos(a)], -1)
    return points.reshape(-1, 3), _grid_triangles(12, 33)


def _ball(radius: float) -> tuple[Points, Triangles]:
    points, triangles = _dome(-1.0)
    return points * radius, triangles


def _disc(angles: np.ndarray, inner: float, outer: float) -> tuple[Points, Triangles]:
    """A flat ring or a part of it; the angle 0 points forwards."""
    r, a = np.meshgrid([inner, outer], angles, indexing="ij")
    points = np.stack([r * np.sin(a), np.zeros_like(r), r * np.cos(a)], -1)
    return points.reshape(-1, 3), _grid_triangles(2, len(angles))


def _rounded_box(half: tuple[float, float, float]) -> tuple[Points, Triangles]:
    points, triangles = _dome(-1.0)
    round_off = np.sign(points) * np.abs(points) ** 0.45
    return round_off * half, triangles


def _on_bone(
    posed: body.Posed,
    bone: str,
    shape: tuple[Points, Triangles],
    place: np.ndarray,
    region: int,
    color: np.ndarray,
) -> Surface:
    """A simple body that hangs on a bone; `place` is where it lies in the rest pose."""
    return Surface(posed.carried(bone, shape[0] + place), shape[1], region, color)


def _torso_point(model: body.BodyModel, posed: body.Posed, up: float, ahead: float) -> np.ndarray:
    """A point of the torso in the rest pose: `up` metres above the hip and `ahead` metres before the skin of the back."""
    hip = posed.rest[model.joints["pelvis"][0]].mean(0)
    level = np.abs(posed.rest[: body.PARTS["body"][1]] - (hip + [0, up, 0]))
    near = (level[:, 1] < 0.04) & (level[:, 0] < 0.1)
    back = posed.rest[: body.PARTS["body"][1]][near, 2].min() if near.any() else hip[2] - 0.1
    return np.array([hip[0], hip[1] + up, back + ahead + 0.06 if ahead < 0 else hip[2] + ahead])


def _umbrella(model: body.BodyModel, posed: body.Posed, rng: np.random.Generator) -> Surface:
    crown = posed.vertices[: body.PARTS["body"][1], 1].max()
    head = posed.carried("head", _skull(model, posed)[0][None])[0]
    points, triangles = _dome(0.0)
    radius = rng.uniform(0.45, 0.62)
    place = np.array(
        [head[0] + rng.normal(0, 0.12), crown + rng.uniform(-0.02, 0.15), head[2] + rng.normal(0.05, 0.1)]
    )
    return Surface(points * [radius, 0.5 * radius, radius] + place, triangles, OTHER, _cloth_color(rng))
