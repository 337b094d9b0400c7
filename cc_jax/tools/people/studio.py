"""Renders people with Mitsuba: color, transparency and what each pixel shows."""

import dataclasses
from collections.abc import Sequence

import mitsuba as mi  # pyright: ignore[reportMissingImports] (an extra)
import numpy as np
from jaxtyping import Float, UInt8

from cc_jax.data.scenes import sprites
from cc_jax.tools.people import outfits

mi.set_variant("scalar_rgb")
_DISTANCE = 14.0  # metres from the camera to the person: far enough for the perspective of a crowd


@dataclasses.dataclass(frozen=True)
class View:
    """Where the camera and the light are, in degrees.

    Attributes:
      azimuth: from the front of the person around to their left.
      elevation: of the camera above the horizon.
      sun: 0 for an overcast sky; else from the camera to the sun, positive to the right of the image.
    """

    azimuth: float
    elevation: float
    sun: float


@dataclasses.dataclass(frozen=True)
class Picture:
    """A rendered person.

    Attributes:
      image: RGB (not multiplied by alpha) and alpha.
      regions: NOTHING, OTHER, HEAD, UPPER or LOWER of `scenes.sprites`.
      metre: pixels a metre.
      points: where the given points of the person lie, x and y in pixels.
    """

    image: UInt8[np.ndarray, "H W 4"]
    regions: UInt8[np.ndarray, "H W"]
    metre: float
    points: Float[np.ndarray, "N 2"]


def render(
    surfaces: Sequence[outfits.Surface],
    points: Float[np.ndarray, "N 3"],
    view: View,
    *,
    height: int,
    samples: int = 24,
) -> Picture:
    """Render a person so that they fill an image of this height; its width is what they need.

    Args:
      surfaces: what `outfits.dress` returned.
      points: places in metres whose pixels are to be known.
      view: where the camera and the light are.
      height: of the image, in pixels.
      samples: rays a pixel.
    """
    vertices = np.concatenate([s.vertices for s in surfaces])
    up, right, towards = _axes(view.azimuth, view.elevation)
    across, along = vertices @ right, vertices @ up
    # The camera looks at the middle of what it sees. What is nearer than that looks larger by up to a tenth.
    middle = (across.min() + across.max()) / 2 * right + (along.min() + along.max()) / 2 * up
    middle = middle + (vertices @ towards).mean() * towards
    half = 1.08 * (along.max() - along.min()) / 2
    width = max(8, int(np.ceil(height * 1.08 * (across.max() - across.min()) / 2 / half)))
    sensor = {
        "type": "perspective",
        "fov": float(np.degrees(2 * np.arctan(half / _DISTANCE))),
        "fov_axis": "y",
        "to_world": mi.ScalarTransform4f().look_at(
            origin=(middle + _DISTANCE * towards).tolist(), target=middle.tolist(), up=up.tolist()
        ),
        "film": {
            "type": "hdrfilm",
            "width": width,
            "height": height,
            "pixel_format": "rgba",
            "rfilter": {"type": "box"},
        },
        "sampler": {"type": "multijitter", "sample_count": samples},
    }
    lit: dict = {"type": "scene", "integrator": {"type": "path", "max_depth": 3, "hide_emitters": True}}
    lit["sensor"] = sensor
    shown: dict = {"type": "scene", "integrator": {"type": "direct", "emitter_samples": 0, "bsdf_samples": 1}}
    shown["sensor"] = sensor
    for number, surface in enumerate(surfaces):
        lit[f"surface{number}"] = _mesh(surface, glows=False)
        shown[f"surface{number}"] = _mesh(surface, glows=True)
    lit.update(_lights(view, towards, right))
    image = _encode(np.array(mi.render(mi.load_dict(lit)), np.float64))
    shares = np.array(mi.render(mi.load_dict(shown)), np.float64)
    alpha = shares[..., 3]
    # In the order of the numbers of regions.
    each = np.stack([1 - alpha, alpha - shares[..., :3].sum(-1), *np.moveaxis(shares[..., :3], -1, 0)], -1)
    depth = _DISTANCE - (points - middle) @ towards
    metre = height / 2 / half
    pixels = (
        np.stack([(points - middle) @ right, -((points - middle) @ up)], 1)
        * (_DISTANCE / depth * metre)[:, None]
    )
    return Picture(image, each.argmax(-1).astype(np.uint8), metre, pixels + [width / 2, height / 2])


def _axes(azimuth: float, elevation: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Up and right in the image, and the direction towards the camera."""
    a, e = np.radians([azimuth, elevation])
    towards = np.array([np.sin(a) * np.cos(e), np.sin(e), np.cos(a) * np.cos(e)])
    right = np.array([np.cos(a), 0.0, -np.sin(a)])
    return np.cross(towards, right), right, towards


def _lights(view: View, towards: np.ndarray, right: np.ndarray) -> dict:
    """An overcast sky over a grey ground, and in some cases the sun."""
    rows = np.linspace(1, -1, 32)[:, None]
    sky = np.where(rows > 0, 0.9 + 0.5 * rows, 0.3 + 0.1 * rows)
    level = 0.95 if view.sun == 0 else 0.5
    image = np.repeat((level * sky[..., None] * [0.97, 1.0, 1.05]).astype(np.float32), 64, axis=1)
    lights: dict = {"sky": {"type": "envmap", "bitmap": mi.Bitmap(image)}}
    if view.sun != 0:
        a = np.radians(view.sun)
        ahead = np.array([towards[0], 0, towards[2]]) / max(np.hypot(towards[0], towards[2]), 1e-6)
        direction = -(np.cos(a) * ahead + np.sin(a) * right + [0, 1.0, 0])
        strength = {"type": "rgb", "value": [2.9, 2.75, 2.4]}
        lights["sun"] = {"type": "directional", "direction": direction.tolist(), "irradiance": strength}
    return lights


def _mesh(surface: outfits.Surface, *, glows: bool) -> mi.Mesh:
    """A mesh for Mitsuba: with its color, or glowing with the color of its region."""
    properties = mi.Properties()
    if glows:
        value = [float(surface.region == r) for r in (sprites.HEAD, sprites.UPPER, sprites.LOWER)]
        properties["bsdf"] = _diffuse({"type": "rgb", "value": 0.0})
        properties["emitter"] = mi.load_dict({"type": "area", "radiance": {"type": "rgb", "value": value}})
    elif surface.pattern is not None:
        properties["bsdf"] = _diffuse({"type": "bitmap", "bitmap": mi.Bitmap(surface.pattern)})
    elif surface.color.ndim == 2:
        properties["bsdf"] = _diffuse({"type": "mesh_attribute", "name": "vertex_color"})
    else:
        properties["bsdf"] = _diffuse({"type": "rgb", "value": np.clip(surface.color, 0, 0.95).tolist()})
    mesh = mi.Mesh(
        "surface",
        len(surface.vertices),
        len(surface.triangles),
        has_vertex_normals=True,
        has_vertex_texcoords=surface.places is not None,
        props=properties,
    )
    if surface.color.ndim == 2:
        mesh.add_attribute("vertex_color", 3, np.clip(surface.color, 0, 0.95).ravel().tolist())
    values = mi.traverse(mesh)
    values["vertex_positions"] = surface.vertices.astype(np.float32).ravel()
    normals = outfits.vertex_normals(surface.vertices, surface.triangles)
    values["vertex_normals"] = normals.astype(np.float32).ravel()
    values["faces"] = surface.triangles.astype(np.uint32).ravel()
    if surface.places is not None:
        values["vertex_texcoords"] = surface.places.astype(np.float32).ravel()
    values.update()
    return mesh


def _diffuse(reflectance: dict) -> mi.BSDF:
    return mi.load_dict({"type": "twosided", "bsdf": {"type": "diffuse", "reflectance": reflectance}})


def _encode(linear: Float[np.ndarray, "H W 4"]) -> UInt8[np.ndarray, "H W 4"]:
    """Linear light, multiplied by alpha, to sRGB with alpha beside it."""
    alpha = np.clip(linear[..., 3:], 0, 1)
    plain = np.clip(linear[..., :3] / np.maximum(alpha, 1e-3), 0, 1)
    srgb = np.where(plain <= 0.0031308, 12.92 * plain, 1.055 * plain ** (1 / 2.4) - 0.055)
    return np.round(255 * np.concatenate([srgb, alpha], -1)).astype(np.uint8)
