"""The difference between the domains: palettes, light, air and lens, drawn at random for each scene.

`source` is a clean render: flat saturated colors, the same soft light, clear air, a perfect lens.
`target` resembles a photograph: muted clothes, worn surfaces, sunny or overcast light, haze, blur, noise, compression.
"""

import dataclasses

import numpy as np


@dataclasses.dataclass(frozen=True)
class Look:
    """Appearance of a scene. Colors are RGB from 0 to 255. Palettes are [N, 3].

    Attributes:
      skins: Palette of skins.
      hairs: Palette of hair.
      tops: Palette of clothes of the upper body.
      bottoms: Palette of clothes of the lower body.
      ground: Color of paved ground.
      lawn: Color of grass.
      sky_top: Color of the sky high above the horizon.
      sky_low: Color of the sky at the horizon.
      walls: Palette of walls.
      leaves: Palette of leaves.
      texture: How worn surfaces are, 0 (flat) to 1.
      sun: Shift (x, z) of a shadow in meters per meter of height. None if the sky is overcast.
      shadow: How dark shadows are, 0 to 1.
      side: Where the light comes from: -1 is left, 1 is right.
      haze: Color of the air.
      haze_range: Meters of air that remove two thirds of a color.
      clutter: Factor on the number of things that are not people.
      hats: Share of people with a hat.
      bags: Share of people with a bag.
      umbrellas: Share of people with an umbrella.
      photo: Whether `optics.photograph` is applied.
    """

    skins: np.ndarray
    hairs: np.ndarray
    tops: np.ndarray
    bottoms: np.ndarray
    ground: np.ndarray
    lawn: np.ndarray
    sky_top: np.ndarray
    sky_low: np.ndarray
    walls: np.ndarray
    leaves: np.ndarray
    texture: float
    sun: tuple[float, float] | None
    shadow: float
    side: int
    haze: np.ndarray
    haze_range: float
    clutter: float
    hats: float
    bags: float
    umbrellas: float
    photo: bool


_SKINS = np.array([[247, 214, 186], [233, 190, 155], [205, 155, 118], [158, 108, 76], [104, 70, 50]])
_HAIRS = np.array([[28, 24, 22], [45, 32, 25], [78, 54, 36], [120, 88, 54], [190, 160, 110], [150, 148, 146]])
_RENDER_TOPS = np.array(
    [[216, 64, 56], [52, 104, 200], [68, 168, 84], [240, 196, 60], [236, 236, 240], [128, 84, 176],
     [244, 140, 52], [60, 180, 190], [60, 64, 76], [230, 120, 160]]
)  # fmt: skip
_RENDER_BOTTOMS = np.array([[44, 58, 104], [60, 60, 66], [120, 96, 72], [80, 110, 160], [200, 190, 170]])
_PHOTO_TOPS = np.array(
    [[24, 24, 27], [38, 42, 54], [58, 60, 64], [92, 94, 98], [150, 150, 148], [214, 212, 206], [235, 234, 230],
     [34, 44, 78], [78, 96, 130], [120, 36, 38], [168, 150, 122], [74, 82, 62], [176, 62, 54], [96, 66, 52],
     [186, 176, 190], [204, 182, 96], [52, 98, 110]]
)  # fmt: skip
_PHOTO_BOTTOMS = np.array(
    [
        [26, 26, 29],
        [42, 50, 72],
        [66, 80, 108],
        [104, 118, 140],
        [72, 66, 58],
        [140, 124, 98],
        [196, 190, 178],
    ]
)
_RENDER_GROUNDS = np.array([[168, 168, 164], [150, 156, 162], [188, 178, 160], [128, 132, 136]])
_PHOTO_GROUNDS = np.array(
    [[134, 130, 124], [104, 103, 104], [158, 148, 132], [146, 118, 100], [120, 122, 112], [168, 162, 150]]
)
_RENDER_WALLS = np.array(
    [[226, 214, 190], [204, 132, 104], [176, 190, 204], [232, 232, 228], [214, 190, 140], [150, 160, 150]]
)
_PHOTO_WALLS = np.array(
    [
        [150, 140, 126],
        [132, 92, 76],
        [116, 118, 122],
        [182, 172, 154],
        [98, 92, 88],
        [170, 140, 104],
        [84, 96, 108],
    ]
)


def draw_look(domain: str, rng: np.random.Generator) -> Look:
    """Draw a look of the domain "source" or "target"."""
    return _render(rng) if domain == "source" else _photo(rng)


def _render(rng: np.random.Generator) -> Look:
    bright = rng.uniform(0.92, 1.05)
    low = np.array([206, 224, 240]) * bright
    return Look(
        skins=_SKINS[:4],
        hairs=_HAIRS[:4],
        tops=_RENDER_TOPS,
        bottoms=_RENDER_BOTTOMS,
        ground=_pick(rng, _RENDER_GROUNDS) * bright,
        lawn=np.array([126, 168, 92]) * bright,
        sky_top=np.array([98, 156, 220]) * bright,
        sky_low=low,
        walls=_RENDER_WALLS * bright,
        leaves=np.array([[74, 142, 66], [92, 160, 78], [58, 122, 60]]),
        texture=0.0,
        sun=None,
        shadow=0.3,
        side=1,
        haze=low,
        haze_range=260.0,
        clutter=0.5,
        hats=0.06,
        bags=0.1,
        umbrellas=0.0,
        photo=False,
    )


def _photo(rng: np.random.Generator) -> Look:
    sunny = rng.random() < 0.6
    warm = rng.normal(0, 10) * np.array([1.0, 0.2, -1.0])
    low = (np.array([205, 210, 214]) if sunny else np.array([196, 198, 200])) + warm + rng.normal(0, 8)
    top = np.array([108, 146, 190]) + rng.normal(0, 14, 3) if sunny else low - rng.uniform(0, 24)
    angle, length = rng.uniform(0, 2 * np.pi), rng.uniform(0.4, 1.8)
    wear = rng.uniform(0.85, 1.1)
    return Look(
        skins=_SKINS * rng.uniform(0.8, 1.0),
        hairs=_HAIRS,
        tops=_PHOTO_TOPS,
        bottoms=_PHOTO_BOTTOMS,
        ground=np.clip(_pick(rng, _PHOTO_GROUNDS) * wear + rng.normal(0, 4, 3) + warm * 0.5, 30, 235),
        lawn=np.array([104, 124, 70]) * wear + rng.normal(0, 8, 3),
        sky_top=top,
        sky_low=low,
        walls=np.clip(_PHOTO_WALLS * wear + warm * 0.5, 20, 240),
        leaves=np.array([[62, 84, 44], [84, 104, 54], [44, 62, 36], [104, 116, 66]]) * rng.uniform(0.8, 1.15),
        texture=rng.uniform(0.5, 1.0),
        sun=(length * np.cos(angle), length * np.sin(angle)) if sunny else None,
        shadow=rng.uniform(0.35, 0.6) if sunny else rng.uniform(0.2, 0.35),
        side=1 if np.cos(angle) < 0 else -1,
        haze=low,
        haze_range=float(np.exp(rng.uniform(np.log(90), np.log(600)))),
        clutter=rng.uniform(0.6, 1.8),
        hats=rng.uniform(0.05, 0.3),
        bags=rng.uniform(0.1, 0.4),
        umbrellas=rng.uniform(0.04, 0.15) if rng.random() < 0.15 else 0.0,
        photo=True,
    )


def _pick(rng: np.random.Generator, options: np.ndarray) -> np.ndarray:
    return options[rng.integers(len(options))].astype(float)
