"""Headers of image files, read without decoding: format, size, EXIF orientation, and whether the file is complete.

`parse(data)` walks through a JPEG, PNG, BMP, GIF, WebP or TIFF file up to the last byte that the image needs. Decoders do
not protect against bad files: they allocate the memory that a header asks for, and some return a partly grey image for a
file that is cut short. The parsers follow the specifications of the formats.
"""

import dataclasses
import re
import struct
import zlib

# Any marker except a stuffed zero, a fill byte, TEM, and the restart markers inside a scan.
_JPEG_MARKER = re.compile(rb"\xff[^\x00\x01\xff\xd0-\xd7]", re.DOTALL)
# SOFn, without DHT, JPG and DAC.
_JPEG_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
# BYTE, SHORT and LONG, the types of the tags that are read here.
_TIFF_FIELD = {1: "B", 3: "H", 4: "I"}
_CUT = "is cut short (the file ends before the image does)"


@dataclasses.dataclass(frozen=True)
class Header:
    """Header of an image file.

    Attributes:
      format: "JPEG", "PNG", "BMP", "GIF", "WebP" or "TIFF".
      height: Height in pixels as stored, before `orientation` is applied.
      width: Width in pixels as stored.
      orientation: EXIF orientation, 1 to 8.
    """

    format: str
    height: int
    width: int
    orientation: int = 1


def parse(data: bytes) -> Header:
    """Return the header of an image file given as bytes.

    Raises:
      ValueError: The file is incomplete, or not an image of these formats. The text completes "FILE ...".
    """
    for magic, offset, reader in _READERS:
        if data[offset : offset + len(magic)] == magic:
            try:
                header = reader(data)
            except (struct.error, IndexError) as error:
                raise ValueError(_CUT) from error
            if header.height < 1 or header.width < 1:
                raise ValueError(f"has no pixels ({header.width}x{header.height})")
            return header
    if not data:
        raise ValueError("is empty")
    if data[4:8] == b"ftyp":
        raise ValueError("is HEIC, AVIF or video, which cannot be read; convert it to JPEG or PNG")
    raise ValueError("is not an image of a known format (JPEG, PNG, BMP, GIF, WebP, TIFF)")


def oriented(header: Header) -> tuple[int, int]:
    """Return (height, width) after the EXIF orientation is applied."""
    return (header.width, header.height) if header.orientation >= 5 else (header.height, header.width)


def _jpeg(data: bytes) -> Header:
    """Parse a JPEG (ITU-T T.81, annex B): segments with a length, scans without one, and EOI at the end."""
    size, orientation, scanned, at = None, None, False, 2
    while marker := _JPEG_MARKER.search(data, at):
        at, code = marker.start(), data[marker.start() + 1]
        if code == 0xD9:
            if size is None or not scanned:
                raise ValueError("is a JPEG without an image")
            return Header("JPEG", *size, orientation or 1)
        (length,) = struct.unpack_from(">H", data, at + 2)
        if length < 2 or at + 2 + length > len(data):
            raise ValueError(_CUT if length >= 2 else "is a damaged JPEG (a segment without a length)")
        body = data[at + 4 : at + 2 + length]
        if code in _JPEG_FRAMES and size is None:
            size = struct.unpack_from(">HH", body, 1)
        elif code == 0xE1 and orientation is None and body[:6] == b"Exif\0\0":
            orientation = _exif_orientation(body[6:])
        scanned |= code == 0xDA
        at += 2 + length
    raise ValueError(_CUT)


def _png(data: bytes) -> Header:
    """Parse a PNG (W3C PNG, sections 5 and 11): chunks with a CRC each, from IHDR to IEND."""
    size, orientation, at = None, 1, 8
    while True:
        length, kind = struct.unpack_from(">I4s", data, at)
        end = at + 12 + length
        if end > len(data):
            raise ValueError(_CUT)
        if zlib.crc32(data[at + 4 : end - 4]) != struct.unpack_from(">I", data, end - 4)[0]:
            raise ValueError(f"is a damaged PNG (chunk {kind.decode('latin-1')!r} fails its checksum)")
        if kind == b"IHDR":
            width, height = struct.unpack_from(">II", data, at + 8)
            size = (height, width)
        elif kind == b"eXIf":
            orientation = _exif_orientation(data[at + 8 : end - 4])
        elif kind == b"IEND":
            if size is None:
                raise ValueError("is a damaged PNG (no IHDR)")
            return Header("PNG", *size, orientation)
        at = end


def _bmp(data: bytes) -> Header:
    """Parse a Windows or OS/2 bitmap. A negative height means that the rows are stored from top to bottom."""
    start, info = struct.unpack_from("<II", data, 10)
    if info == 12:
        width, height, _, bits = struct.unpack_from("<HHHH", data, 18)
        packed = False
    else:
        width, height, _, bits, compression = struct.unpack_from("<iiHHI", data, 18)
        packed = compression not in (0, 3)  # run-length encoded: only the decoder finds the end
    height = abs(height)
    if not packed and start + (width * bits + 31) // 32 * 4 * height > len(data):
        raise ValueError(_CUT)
    return Header("BMP", height, width)


def _gif(data: bytes) -> Header:
    """Parse a GIF (GIF89a) up to the end of the first picture, the only one that is read."""
    width, height, flags = struct.unpack_from("<HHB", data, 6)
    at = 13 + _color_table_bytes(flags)
    while data[at] == 0x21:  # extensions
        at = _skip_blocks(data, at + 2)
    if data[at] != 0x2C:
        raise ValueError("is a GIF without an image")
    at = _skip_blocks(data, at + 11 + _color_table_bytes(data[at + 9]))
    return Header("GIF", height, width)


def _color_table_bytes(flags: int) -> int:
    return 3 << ((flags & 7) + 1) if flags & 0x80 else 0


def _skip_blocks(data: bytes, at: int) -> int:
    while data[at]:
        at += data[at] + 1
    return at + 1


def _webp(data: bytes) -> Header:
    """Parse a WebP (RFC 9649): a RIFF file of chunks, with the size in VP8X, VP8L or the VP8 key frame."""
    if 8 + struct.unpack_from("<I", data, 4)[0] > len(data):
        raise ValueError(_CUT)
    size, orientation, at = None, 1, 12
    while at + 8 <= len(data):
        kind, length = struct.unpack_from("<4sI", data, at)
        body = data[at + 8 : at + 8 + length]
        if size is None and kind in _WEBP_SIZE:
            size = _WEBP_SIZE[kind](body)
        elif kind == b"EXIF":
            orientation = _exif_orientation(body[6:] if body[:6] == b"Exif\0\0" else body)
        at += 8 + length + length % 2
    if size is None:
        raise ValueError("is a WebP without an image")
    return Header("WebP", *size, orientation)


def _vp8(body: bytes) -> tuple[int, int]:
    width, height = struct.unpack_from("<HH", body, 6)
    return height & 0x3FFF, width & 0x3FFF


def _vp8l(body: bytes) -> tuple[int, int]:
    (bits,) = struct.unpack_from("<I", body, 1)
    return (bits >> 14 & 0x3FFF) + 1, (bits & 0x3FFF) + 1


def _vp8x(body: bytes) -> tuple[int, int]:
    width, height = (int.from_bytes(body[at : at + 3], "little") + 1 for at in (4, 7))
    return height, width


def _tiff(data: bytes) -> Header:
    """Parse the first image of a TIFF (TIFF 6.0). Every strip or tile must be inside the file."""
    tags = _directory(data)
    if not {256, 257} <= tags.keys():
        raise ValueError("is a TIFF without a size")
    for starts, lengths in ((273, 279), (324, 325)):  # strips, tiles
        ends = (a + b for a, b in zip(tags.get(starts, ()), tags.get(lengths, ()), strict=False))
        if max(ends, default=0) > len(data):
            raise ValueError(_CUT)
    return Header("TIFF", tags[257][0], tags[256][0], _orientation(tags))


def _directory(data: bytes) -> dict[int, tuple[int, ...]]:
    """Return the values of the integer tags in the first directory of a TIFF file or an EXIF block."""
    order = {b"II": "<", b"MM": ">"}.get(bytes(data[:2]))
    if order is None:
        raise ValueError("has an EXIF or TIFF header without a byte order")
    (at,) = struct.unpack_from(order + "I", data, 4)
    (entries,) = struct.unpack_from(order + "H", data, at)
    tags = {}
    for entry in range(at + 2, at + 2 + 12 * entries, 12):
        tag, kind, count = struct.unpack_from(order + "HHI", data, entry)
        if kind not in _TIFF_FIELD or not count:
            continue
        bytes_needed = count * struct.calcsize(_TIFF_FIELD[kind])
        if bytes_needed > len(data):
            raise ValueError(_CUT)
        where = entry + 8 if bytes_needed <= 4 else struct.unpack_from(order + "I", data, entry + 8)[0]
        tags[tag] = struct.unpack_from(f"{order}{count}{_TIFF_FIELD[kind]}", data, where)
    return tags


def _exif_orientation(body: bytes) -> int:
    """Return the orientation in an EXIF block. A damaged block counts as absent, because the image can still be read."""
    try:
        return _orientation(_directory(body))
    except (ValueError, struct.error):
        return 1


def _orientation(tags: dict[int, tuple[int, ...]]) -> int:
    value = tags.get(274, (1,))[0]
    return value if 1 <= value <= 8 else 1


_WEBP_SIZE = {b"VP8 ": _vp8, b"VP8L": _vp8l, b"VP8X": _vp8x}
_READERS = (
    (b"\xff\xd8\xff", 0, _jpeg),
    (b"\x89PNG\r\n\x1a\n", 0, _png),
    (b"BM", 0, _bmp),
    (b"GIF8", 0, _gif),
    (b"WEBP", 8, _webp),
    (b"II*\0", 0, _tiff),
    (b"MM\0*", 0, _tiff),
)
