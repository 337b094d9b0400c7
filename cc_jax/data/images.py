"""Reading and writing of image files, in one hardened way for the whole program.

`read_image` returns uint8 RGB whatever the file contains. It refuses damaged and dangerous files before they are decoded:
the size is read from the header, because a PNG of 48 KB can ask for a gigabyte, and a file that is cut short is an error
instead of a partly grey image. It cannot detect damage in the middle of a JPEG, because JPEGs have no checksum.

All functions may be called from several threads.
"""

import os
import pathlib
import re
import zlib
from collections.abc import Callable

# 134 million pixels, 400 MB as RGB: more than any phone camera has.
MAX_PIXELS = 2**27
# OpenCV's own limit, as a second safeguard. OpenCV reads both variables when it is imported.
os.environ.setdefault("OPENCV_IO_MAX_IMAGE_PIXELS", str(MAX_PIXELS))
# Its messages are replaced by InputErrors.
os.environ.setdefault("OPENCV_LOG_LEVEL", "FATAL")

import cv2  # noqa: E402
import numpy as np  # noqa: E402
from jaxtyping import UInt8  # noqa: E402

from cc_jax.data import files, headers  # noqa: E402
from cc_jax.errors import InputError  # noqa: E402

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".gif")
_MAX_BYTES = 2**30
# Makes a stored image upright, by EXIF orientation (EXIF 2.32, tag 274).
_ORIENT = {
    1: lambda image: image,
    2: lambda image: image[:, ::-1],
    3: lambda image: image[::-1, ::-1],
    4: lambda image: image[::-1],
    5: lambda image: image.swapaxes(0, 1),
    6: lambda image: image[::-1].swapaxes(0, 1),
    7: lambda image: image[::-1, ::-1].swapaxes(0, 1),
    8: lambda image: image[:, ::-1].swapaxes(0, 1),
}
# Factors by which a JPEG can be shrunk while it is decoded, with OpenCV's flags for them.
REDUCTIONS = {
    1: cv2.IMREAD_UNCHANGED,
    2: cv2.IMREAD_REDUCED_COLOR_2 | cv2.IMREAD_IGNORE_ORIENTATION,
    4: cv2.IMREAD_REDUCED_COLOR_4 | cv2.IMREAD_IGNORE_ORIENTATION,
    8: cv2.IMREAD_REDUCED_COLOR_8 | cv2.IMREAD_IGNORE_ORIENTATION,
}


def read_image(
    source: str | os.PathLike | bytes,
    *,
    name: str = "",
    max_pixels: int = MAX_PIXELS,
    enough: Callable[[tuple[int, int]], tuple[int, int]] | None = None,
) -> UInt8[np.ndarray, "H W 3"]:
    """Read an image file as upright uint8 RGB.

    A grey image gets three equal channels. Transparent pixels are blended with white, as viewers do. 16-bit values are
    scaled to 8 bits over their whole range. CMYK is converted. The EXIF orientation is applied. Of an animation or a
    multi-page file, the first picture is read.

    Args:
      source: A path, or the bytes of a file.
      name: What to call the image in an error. Default: the path.
      max_pixels: A larger image is refused before it is decoded.
      enough: Function from the (height, width) of the image to the size that is needed. A JPEG of at least two, four or
        eight times that size is decoded at 1/2, 1/4 or 1/8 (with sides rounded up), at a fraction of the cost.

    Raises:
      InputError: The image is missing, of an unknown format, too large, cut short or damaged.
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
        raise InputError(f"{name}: cannot be decoded as {header.format}: it is damaged or of a rare variant")
    # OpenCV itself applies the orientation of TIFFs.
    turn = 1 if header.format == "TIFF" else header.orientation
    upright = np.ascontiguousarray(_ORIENT[turn](_rgb(_eight_bits(image, name), header.format)))
    if upright.shape[:2] != tuple(-(-side // reduction) for side in size):
        raise InputError(f"{name}: decodes to another size than its header states; it is damaged")
    return upright


def read_size(
    source: str | os.PathLike | bytes, *, name: str = "", max_pixels: int = MAX_PIXELS
) -> tuple[int, int]:
    """Return (height, width) of the image that `read_image` would return, without decoding it.

    Raises:
      InputError: As `read_image`, except for damage that only decoding can find.
    """
    data, name = _load(source, name)
    return headers.oriented(_header(data, name, max_pixels))


def encode_image(rgb: UInt8[np.ndarray, "H W C"], suffix: str = ".jpg", quality: int = 95) -> bytes:
    """Return an image as the bytes of a file.

    Args:
      rgb: RGB, or grey with C = 1.
      suffix: ".jpg" or ".png".
      quality: Quality of a JPEG, 0 to 100.

    Raises:
      ValueError: The array is not an image, or the suffix is another one.
    """
    if rgb.dtype != np.uint8 or rgb.ndim != 3 or rgb.shape[2] not in (1, 3):
        raise ValueError(f"an image must be uint8 [H, W, 3] or [H, W, 1], not {rgb.dtype} {list(rgb.shape)}")
    if suffix not in (".jpg", ".png"):
        raise ValueError(f"images can be written as .jpg or .png, not {suffix!r}")
    options = [cv2.IMWRITE_JPEG_QUALITY, quality] if suffix == ".jpg" else []
    bgr = rgb[..., ::-1] if rgb.shape[2] == 3 else rgb
    done, data = cv2.imencode(suffix, np.ascontiguousarray(bgr), options)
    if not done:
        raise ValueError(f"OpenCV could not encode an image of shape {list(rgb.shape)} as {suffix}")
    return data.tobytes()


def write_image(path: str | pathlib.Path, rgb: UInt8[np.ndarray, "H W C"], quality: int = 95) -> None:
    """Write an image to `path` (.jpg or .png) in one step: a reader sees the old file or the new one, never a part."""
    files.write_atomic(path, encode_image(rgb, pathlib.Path(path).suffix.lower(), quality))


def list_images(folder: str | pathlib.Path) -> list[pathlib.Path]:
    """Return the image files under `folder`, recognized by their suffix, in natural order (IMG_2 before IMG_10).

    Hidden files and folders are skipped.

    Raises:
      InputError: The folder does not exist.
    """
    folder = pathlib.Path(folder)
    if not folder.is_dir():
        raise InputError(f"{folder}: is not a folder; give a folder of images")
    inside = (path.relative_to(folder) for path in folder.rglob("*"))
    images = (path for path in inside if path.suffix.lower() in IMAGE_SUFFIXES and not _hidden(path))
    return sorted((folder / path for path in images if (folder / path).is_file()), key=_natural)


def safe_name(id: str) -> str:
    """Return a file name for an image's id. Characters that are unsafe in file names become "_"."""
    name = re.sub(r"[^\w.+-]+", "_", id).strip("._") or "image"
    return name if len(name) <= 100 else f"{name[:91]}_{zlib.crc32(id.encode()):08x}"


def _load(source: str | os.PathLike | bytes, name: str) -> tuple[bytes, str]:
    """Return the bytes of `source` and what to call it in errors."""
    if isinstance(source, bytes | bytearray | memoryview):
        return bytes(source), name or "image"
    path, name = pathlib.Path(source), name or str(source)
    if path.is_dir():
        raise InputError(f"{name}: is a folder, not an image")
    try:
        if path.exists() and not path.is_file():  # a device or a pipe may never end
            raise InputError(f"{name}: is not a regular file")
        if path.stat().st_size > _MAX_BYTES:
            raise InputError(
                f"{name}: is larger than {_MAX_BYTES >> 30} GiB, the largest size of an image file"
            )
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
        raise InputError(
            f"{name}: {size} pixels are more than the {max_pixels} that are allowed; make it smaller"
        )
    return header


def _reduction(size: tuple[int, int], needed: tuple[int, int]) -> int:
    """Return the largest of 1, 2, 4 and 8 by which both sides can be divided without falling below `needed`."""
    ratio = min(have / need for have, need in zip(size, needed, strict=True))
    return max(k for k in REDUCTIONS if k <= max(1, ratio))


def _eight_bits(image: np.ndarray, name: str) -> np.ndarray:
    """Scale 16-bit values to 8 bits (65535 becomes 255). Floats are refused, because their range is unknown."""
    if image.dtype == np.uint8:
        return image
    if image.dtype != np.uint16:
        raise InputError(f"{name}: has {image.dtype} pixels; save it with 8 or 16 bits per channel")
    return ((image.astype(np.uint32) + 128) // 257).astype(np.uint8)


def _rgb(image: np.ndarray, format: str) -> UInt8[np.ndarray, "H W 3"]:
    """Convert OpenCV's grey, BGR or BGRA to RGB, with transparent pixels blended with white."""
    if image.ndim == 2 or image.shape[2] == 1:
        return cv2.cvtColor(image, cv2.COLOR_GRAY2RGB)
    # The fourth byte of a BMP's pixel is rarely an alpha value. Often it is 0.
    if image.shape[2] == 3 or format == "BMP":
        return cv2.cvtColor(image[..., :3], cv2.COLOR_BGR2RGB)
    rgb, alpha = image[..., 2::-1].astype(np.uint16), image[..., 3:].astype(np.uint16)
    if format != "TIFF":  # libtiff has multiplied the channels by alpha already
        rgb = (rgb * alpha + 127) // 255
    return np.minimum(rgb + 255 - alpha, 255).astype(np.uint8)


def _hidden(path: pathlib.Path) -> bool:
    """Return whether a file is hidden, or one of the files that macOS adds to archives."""
    return any(part.startswith(".") or part == "__MACOSX" for part in path.parts)


def _natural(path: pathlib.Path) -> list[list]:
    """Return a sorting key by which digits compare as numbers."""
    return [[int(t) if t.isdigit() else t.lower() for t in re.split("([0-9]+)", part)] for part in path.parts]
