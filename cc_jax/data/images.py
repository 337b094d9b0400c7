"""Image files read and written, one hardened way for every part of the program.

`read_image` gives uint8 RGB whatever the file holds, and refuses what is damaged or dangerous before it is
decoded: the size comes from the header (a PNG of 48 KB can ask for a gigabyte), and a file that ends early is an
error, not a half-grey picture. What it cannot see is a JPEG with a hole in its middle: those have no checksum.
All functions may be called from several threads.
"""

import os
import pathlib
import re
import zlib
from collections.abc import Callable

MAX_PIXELS = 2**27  # 134 million, 400 MB as RGB: above the largest phone cameras, below what hurts
# OpenCV's own limit, a second fence behind ours; it counts only when it is set before cv2 is imported.
os.environ.setdefault("OPENCV_IO_MAX_IMAGE_PIXELS", str(MAX_PIXELS))
os.environ.setdefault("OPENCV_LOG_LEVEL", "FATAL")  # what it would print arrives as an InputError

import cv2  # noqa: E402
import numpy as np  # noqa: E402
from jaxtyping import UInt8  # noqa: E402

from cc_jax.data import files, headers  # noqa: E402
from cc_jax.errors import InputError  # noqa: E402

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".gif")
_MAX_BYTES = 2**30
_ORIENT = {
    1: lambda image: image,
    2: lambda image: image[:, ::-1],
    3: lambda image: image[::-1, ::-1],
    4: lambda image: image[::-1],
    5: lambda image: image.swapaxes(0, 1),
    6: lambda image: image[::-1].swapaxes(0, 1),
    7: lambda image: image[::-1, ::-1].swapaxes(0, 1),
    8: lambda image: image[:, ::-1].swapaxes(0, 1),
}  # EXIF 2.32, tag 274: what to do to the stored image so that it stands upright
# What a JPEG can be divided by while it is decoded, and OpenCV's word for it.
REDUCTIONS = {
    1: cv2.IMREAD_UNCHANGED,
    2: cv2.IMREAD_REDUCED_COLOR_2 | cv2.IMREAD_IGNORE_ORIENTATION,
    4: cv2.IMREAD_REDUCED_COLOR_4 | cv2.IMREAD_IGNORE_ORIENTATION,
    8: cv2.IMREAD_REDUCED_COLOR_8 | cv2.IMREAD_IGNORE_ORIENTATION,
}


def read_image(
    source: str | pathlib.Path | bytes,
    *,
    name: str = "",
    max_pixels: int = MAX_PIXELS,
    enough: Callable[[tuple[int, int]], tuple[int, int]] | None = None,
) -> UInt8[np.ndarray, "H W 3"]:
    """An image file as uint8 RGB, upright.

    Grey becomes three equal channels, transparency is laid on white (as a viewer shows it), 16 bits are scaled
    to 8 over their whole range, CMYK is converted, the EXIF orientation is applied; of an animation or a
    multi-page file the first picture counts.

    Args:
      source: a path, or the bytes of a file.
      name: what to call the image in an error; default: the path.
      max_pixels: a larger image is refused before it is decoded.
      enough: (height, width) of the image -> what of it is needed. A JPEG of twice, four or eight times as much is
        decoded at 1/2, 1/4 or 1/8 (sides rounded up): its cosine transform gives that at a fraction of the cost.

    Raises:
      InputError: one line naming the image, if it is missing, no image, too large, cut short or damaged.
    """
    data, name = _load(source, name)
    header = _header(data, name, max_pixels)
    size = headers.oriented(header)
    reduction = _reduction(size, enough(size)) if enough and header.format == "JPEG" else 1
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), REDUCTIONS[reduction])
    except cv2.error as error:
        raise InputError(f"{name}: cannot be decoded as {header.format}: {str(error.err).strip()}") from error
    if image is None:
        raise InputError(f"{name}: cannot be decoded as {header.format}: it is damaged or of a rare kind")
    turn = 1 if header.format == "TIFF" else header.orientation  # OpenCV turns TIFFs itself
    upright = np.ascontiguousarray(_ORIENT[turn](_rgb(_eight_bits(image, name), header.format)))
    if upright.shape[:2] != tuple(-(-side // reduction) for side in size):
        raise InputError(f"{name}: decodes to another size than its header says; it is damaged")
    return upright


def read_size(
    source: str | pathlib.Path | bytes, *, name: str = "", max_pixels: int = MAX_PIXELS
) -> tuple[int, int]:
    """(height, width) of the image that `read_image` would give, from the header, without decoding.

    Raises InputError as `read_image` does, but for damage that only decoding finds.
    """
    data, name = _load(source, name)
    return headers.oriented(_header(data, name, max_pixels))


def encode_image(rgb: UInt8[np.ndarray, "H W C"], suffix: str = ".jpg", quality: int = 95) -> bytes:
    """uint8 RGB (or grey, C = 1) as the bytes of a file; `quality` is JPEG's, PNG is lossless."""
    if rgb.dtype != np.uint8 or rgb.ndim != 3 or rgb.shape[2] not in (1, 3):
        raise ValueError(f"an image is uint8 [H, W, 3] or [H, W, 1], not {rgb.dtype} {list(rgb.shape)}")
    if suffix not in (".jpg", ".png"):
        raise ValueError(f"images are written as .jpg or .png, not {suffix!r}")
    options = [cv2.IMWRITE_JPEG_QUALITY, quality] if suffix == ".jpg" else []
    bgr = rgb[..., ::-1] if rgb.shape[2] == 3 else rgb
    done, data = cv2.imencode(suffix, np.ascontiguousarray(bgr), options)
    if not done:
        raise ValueError(f"OpenCV could not encode an image of shape {list(rgb.shape)} as {suffix}")
    return data.tobytes()


def write_image(path: str | pathlib.Path, rgb: UInt8[np.ndarray, "H W C"], quality: int = 95) -> None:
    """Writes `path` (.jpg or .png) in one step: a reader sees the old file or the new one, never a part."""
    files.write_atomic(path, encode_image(rgb, pathlib.Path(path).suffix.lower(), quality))


def list_images(folder: str | pathlib.Path) -> list[pathlib.Path]:
    """Image files under `folder`, known by suffix, in natural order (IMG_2 before IMG_10); no hidden ones.

    Raises InputError if the folder does not exist.
    """
    folder = pathlib.Path(folder)
    if not folder.is_dir():
        raise InputError(f"{folder}: is not a folder; give one that holds images")
    inside = (path.relative_to(folder) for path in folder.rglob("*"))
    images = (path for path in inside if path.suffix.lower() in IMAGE_SUFFIXES and not _hidden(path))
    return sorted((folder / path for path in images if (folder / path).is_file()), key=_natural)


def safe_name(id: str) -> str:
    """A file name for an image's id: path separators and what shells or file systems dislike become "_"."""
    name = re.sub(r"[^\w.+-]+", "_", id).strip("._") or "image"
    return name if len(name) <= 100 else f"{name[:91]}_{zlib.crc32(id.encode()):08x}"


def _load(source: str | pathlib.Path | bytes, name: str) -> tuple[bytes, str]:
    """The bytes of `source` and what to call it."""
    if isinstance(source, bytes | bytearray | memoryview):
        return bytes(source), name or "image"
    path, name = pathlib.Path(source), name or str(source)
    if path.is_dir():
        raise InputError(f"{name}: is a folder, not an image")
    try:
        if path.exists() and not path.is_file():  # a device or a pipe might never end
            raise InputError(f"{name}: is not a regular file")
        if path.stat().st_size > _MAX_BYTES:
            raise InputError(f"{name}: is larger than {_MAX_BYTES >> 30} GiB, which no image here may be")
        return path.read_bytes(), name
    except OSError as error:
        raise InputError(f"{name}: cannot be read: {error.strerror}") from error


def _header(data: bytes, name: str, max_pixels: int) -> headers.Header:
    try:
        header = headers.parse(data)
    except ValueError as error:
        raise InputError(f"{name}: {error}") from error
    if header.height * header.width > max_pixels:
        size = f"{header.width}x{header.height}"
        raise InputError(f"{name}: {size} pixels are more than the {max_pixels} allowed; make it smaller")
    return header


def _reduction(size: tuple[int, int], needed: tuple[int, int]) -> int:
    """The largest of 1, 2, 4 and 8 by which both sides can be divided without falling below `needed`."""
    ratio = min(have / need for have, need in zip(size, needed, strict=True))
    return max(k for k in REDUCTIONS if k <= max(1, ratio))


def _eight_bits(image: np.ndarray, name: str) -> np.ndarray:
    """uint16 scaled over its whole range (65535 becomes 255), not wrapped; floats have no known range."""
    if image.dtype == np.uint8:
        return image
    if image.dtype != np.uint16:
        raise InputError(f"{name}: holds {image.dtype} pixels; save it with 8 or 16 bits a channel")
    return ((image.astype(np.uint32) + 128) // 257).astype(np.uint8)


def _rgb(image: np.ndarray, format: str) -> UInt8[np.ndarray, "H W 3"]:
    """OpenCV's grey, BGR or BGRA as RGB, on white."""
    if image.ndim == 2 or image.shape[2] == 1:
        return cv2.cvtColor(image, cv2.COLOR_GRAY2RGB)
    if image.shape[2] == 3 or format == "BMP":  # the fourth byte of a BMP's pixel is rarely an alpha, often 0
        return cv2.cvtColor(image[..., :3], cv2.COLOR_BGR2RGB)
    rgb, alpha = image[..., 2::-1].astype(np.uint16), image[..., 3:].astype(np.uint16)
    if format != "TIFF":  # libtiff gives colours that are already multiplied by alpha
        rgb = (rgb * alpha + 127) // 255
    return np.minimum(rgb + 255 - alpha, 255).astype(np.uint8)


def _hidden(path: pathlib.Path) -> bool:
    """Dot files, and the shadow files that macOS leaves in archives."""
    return any(part.startswith(".") or part == "__MACOSX" for part in path.parts)


def _natural(path: pathlib.Path) -> list[list]:
    """Sorting key: digits compare as numbers."""
    return [[int(t) if t.isdigit() else t.lower() for t in re.split("([0-9]+)", part)] for part in path.parts]
