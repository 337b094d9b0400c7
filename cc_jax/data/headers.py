"""Image files looked at without decoding: format, size, EXIF orientation, and whether the file is whole.

`parse(data)` walks the containers of JPEG, PNG, BMP, GIF, WebP and TIFF from the first byte to the last one that
the image needs. Decoders alone are no guard: they allocate what a header claims, and some return a half-grey
picture for half a file. Written from the formats' specifications; each failure is a ValueError with its reason.
"""

import dataclasses
import re
import struct
import zlib

# A marker other than a stuffed zero, a fill byte, TEM and the restart markers inside a scan.
_JPEG_MARKER = re.compile(rb"\xff[^\x00\x01\xff\xd0-\xd7]", re.DOTALL)
_JPEG_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}  # SOFn; without DHT, JPG, DAC
_TIFF_FIELD = {1: "B", 3: "H", 4: "I"}  # BYTE, SHORT, LONG: the types of the tags read here
_CUT = "is cut short (the file ends before the image does)"


@dataclasses.dataclass(frozen=True)
class Header:
    """What a file says of its image: size as stored, before `orientation` (EXIF, 1-8) is applied."""

    format: str
    height: int
    width: int
    orientation: int = 1


def parse(data: bytes) -> Header:
    """The header of an image file given as bytes.

    Raises ValueError, with a reason that completes "FILE ...", if it is no image of these formats or not whole.
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
        raise ValueError("is HEIC, AVIF or video, which is not read: convert it to JPEG or PNG")
    raise ValueError("is not an image of a known format (JPEG, PNG, BMP, GIF, WebP, TIFF)")


def oriented(header: Header) -> tuple[int, int]:
    """(height, width) once the EXIF orientation has been applied."""
    size = (header.height, header.width)
    return size[::-1] if header.orientation >= 5 else size


def _jpeg(data: bytes) -> Header:
    """ITU-T T.81, annex B: segments with a length, scans without one, and EOI at the end."""
    size, orientation, scanned, at = None, None, False, 2
    while marker := _JPEG_MARKER.search(data, at):
        at, code = marker.start(), data[marker.start() + 1]
        if code == 0xD9:
            if size is None or not scanned:
                raise ValueError("is a JPEG without an image")
            return Header("JPEG", *size, orientation or 1)
        (length,) = struct.unpack_from(">H", data, at + 2)
        if length < 2 or at + 2 + length > len(data):
            raise ValueError(_CUT if length >= 2 else "is a damaged JPEG (a segment of no length)")
        body = data[at + 4 : at + 2 + length]
        if code in _JPEG_FRAMES and size is None:
            size = struct.unpack_from(">HH", body, 1)
        elif code == 0xE1 and orientation is None and body[:6] == b"Exif\0\0":
            orientation = _exif_orientation(body[6:])
        scanned |= code == 0xDA
        at += 2 + length
    raise ValueError(_CUT)


def _png(data: bytes) -> Header:
    """W3C PNG, sections 5 and 11: chunks, each with its CRC, from IHDR to IEND."""
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
    """Windows and OS/2 bitmaps; a negative height means that the rows are stored top down."""
    start, info = struct.unpack_from("<II", data, 10)
    if info == 12:
        width, height, _, bits = struct.unpack_from("<HHHH", data, 18)
        packed = False
    else:
        width, height, _, bits, compression = struct.unpack_from("<iiHHI", data, 18)
        packed = compression not in (0, 3)  # run-length coded: only the decoder knows the end
    height = abs(height)
    if not packed and start + (width * bits + 31) // 32 * 4 * height > len(data):
        raise ValueError(_CUT)
    return Header("BMP", height, width)


def _gif(data: bytes) -> Header:
    """GIF89a: blocks up to the end of the first picture, the only one that is read."""
    width, height, flags = struct.unpack_from("<HHB", data, 6)
    at = 13 + _colour_table(flags)
    while data[at] == 0x21:  # extensions
        at = _skip_blocks(data, at + 2)
    if data[at] != 0x2C:
        raise ValueError("is a GIF without an image")
    at = _skip_blocks(data, at + 11 + _colour_table(data[at + 9]))
    return Header("GIF", height, width)


def _colour_table(flags: int) -> int:
    return 3 << ((flags & 7) + 1) if flags & 0x80 else 0


def _skip_blocks(data: bytes, at: int) -> int:
    while data[at]:
        at += data[at] + 1
    return at + 1


def _webp(data: bytes) -> Header:
    """RFC 9649: a RIFF file of chunks; the size is in VP8X, VP8L or the VP8 key frame."""
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
    """TIFF 6.0: the first image file directory; every strip or tile must lie inside the file."""
    tags = _directory(data)
    if not {256, 257} <= tags.keys():
        raise ValueError("is a TIFF without a size")
    for starts, lengths in ((273, 279), (324, 325)):  # strips, tiles
        ends = (a + b for a, b in zip(tags.get(starts, ()), tags.get(lengths, ()), strict=False))
        if max(ends, default=0) > len(data):
            raise ValueError(_CUT)
    return Header("TIFF", tags[257][0], tags[256][0], _orientation(tags))


def _directory(data: bytes) -> dict[int, tuple[int, ...]]:
    """Tag -> values, of the integer tags in the first directory of a TIFF structure (a TIFF file or EXIF)."""
    order = {b"II": "<", b"MM": ">"}.get(bytes(data[:2]))
    if order is None:
        raise ValueError("has an EXIF or TIFF header of no byte order")
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
    """The orientation in an EXIF block; a damaged block is no reason to refuse the picture: it counts as absent."""
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
