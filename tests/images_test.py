"""Image files: pixels, orientation and size of every format, and refusal of damaged and dangerous files."""

import base64
import os
import pathlib
import struct
import subprocess
import sys
import zlib
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cc_jax.data import headers, images
from cc_jax.data.images import cv2
from cc_jax.errors import InputError

ROOT = pathlib.Path(__file__).resolve().parent.parent
# A 16x8 JPEG with four channels and one color, (200, 60, 20), written by Pillow.
CMYK = zlib.decompress(
    base64.b64decode(
        "eNr7f+P/OwY+x5T8pFSGFAYQ+H+bwZmBmYkJhICABYhYOVhZWVhYudjZ2Th4uHh4uLm4uXn5hAR4+QT5uLkFxAQEhUVERUV5+MUlxE"
        "QkhERERf4fYBDhYOBgEGBxFmTwFWSIFGTwFmT4f4RBnoGBkZURDBiggJEJaAMbOwcnFzdQwVYBBiZGZmYmFmaQnUDZWqA8A4sgq5Ci"
        "oSObcGAiu1KhiFHjxIUcyk4bD4oGXfygYpxU1MTJJSYuISmlqqauoallYmpmbmFp5ezi6ubu4ekVHBIaFh4RGZWckpqWnpGZVVxSWlZe"
        "UVnV3NLa1t7R2TVp8pSp06bPmDlr0eIlS5ctX7Fy1abNW7Zu275j565Dh48cPXb8xMlTly5fuXrt+o2btx4+evzk6bPnL16++vjp85ev"
        "377/+Pnr/y0GPhZnBl+GSAZvBgZ7ht9M+7zWn/31N3hRl8b6/zcBjQNwPA=="
    )
)


def picture(height=24, width=40):
    """Return a smooth image without any symmetry."""
    y, x = np.mgrid[:height, :width]
    return np.stack([255 * x / width, 255 * y / height, 127 + 60 * np.sin(x / 7 + y / 5)], -1).astype(
        np.uint8
    )


def encoded(suffix, array):
    """Return BGR pixels, or any OpenCV array, as the bytes of a file."""
    return cv2.imencode(suffix, array)[1].tobytes()


def exif(orientation, order="<"):
    tiff = {"<": b"II*\0", ">": b"MM\0*"}[order]
    entry = struct.pack(order + "HHIHH", 274, 3, 1, orientation, 0)
    return tiff + struct.pack(order + "IH", 8, 1) + entry + bytes(4)


def jpeg_with_exif(data, orientation, order="<"):
    body = b"Exif\0\0" + exif(orientation, order)
    return data[:2] + b"\xff\xe1" + struct.pack(">H", len(body) + 2) + body + data[2:]


def tiff_with_orientation(data, orientation):
    """Append a copy of the directory to the file, with one more entry."""
    (at,) = struct.unpack_from("<I", data, 4)
    (number,) = struct.unpack_from("<H", data, at)
    entries = [data[at + 2 + 12 * i : at + 14 + 12 * i] for i in range(number)]
    entries.append(struct.pack("<HHIHH", 274, 3, 1, orientation, 0))
    entries.sort(key=lambda entry: struct.unpack_from("<H", entry))
    data += bytes(len(data) % 2)
    directory = struct.pack("<H", len(entries)) + b"".join(entries) + bytes(4)
    return data[:4] + struct.pack("<I", len(data)) + data[8:] + directory


def png_chunk(kind, body):
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png_of_zeros(width, height):
    """Return a small file that claims to have many pixels."""
    head = png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    return (
        b"\x89PNG\r\n\x1a\n" + head + png_chunk(b"IDAT", zlib.compress(bytes(1000))) + png_chunk(b"IEND", b"")
    )


# EXIF 2.32, tag 274, written with other functions than the reader's.
UPRIGHT = {
    1: lambda x: x,
    2: np.fliplr,
    3: lambda x: np.rot90(x, 2),
    4: np.flipud,
    5: lambda x: np.transpose(x, (1, 0, 2)),
    6: lambda x: np.rot90(x, -1),
    7: lambda x: np.rot90(np.transpose(x, (1, 0, 2)), 2),
    8: lambda x: np.rot90(x, 1),
}


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("order", "<>")
def test_exif_orientation_is_applied(orientation, order):
    plain = encoded(".jpg", picture()[..., ::-1])
    turned = jpeg_with_exif(plain, orientation, order)
    expected = UPRIGHT[orientation](images.read_image(plain))
    np.testing.assert_array_equal(images.read_image(turned), expected)
    assert images.read_size(turned) == expected.shape[:2]


def test_png_orientation():
    plain = encoded(".png", picture()[..., ::-1])
    turned = plain[:33] + png_chunk(b"eXIf", exif(6)) + plain[33:]
    np.testing.assert_array_equal(images.read_image(turned), np.rot90(picture(), -1))
    assert images.read_size(turned) == (40, 24)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_tiff_orientation(orientation):
    turned = tiff_with_orientation(encoded(".tiff", picture()[..., ::-1]), orientation)
    expected = UPRIGHT[orientation](picture())
    np.testing.assert_array_equal(images.read_image(turned), expected)
    assert images.read_size(turned) == expected.shape[:2]


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".tiff"])
def test_lossless_formats_give_the_pixels_as_rgb(suffix):
    np.testing.assert_array_equal(images.read_image(encoded(suffix, picture()[..., ::-1])), picture())


@pytest.mark.parametrize(("suffix", "levels"), [(".jpg", 4), (".webp", 4), (".gif", 16)])  # a GIF is dithered
def test_lossy_formats_are_near(suffix, levels):
    read = images.read_image(encoded(suffix, picture()[..., ::-1])).astype(int)
    assert np.abs(read - picture()).mean() < levels  # swapped channels would differ by 60


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".bmp", ".tiff", ".webp", ".gif"])
@pytest.mark.parametrize("size", [(24, 40), (33, 17), (1, 5)])
def test_size_is_read_without_decoding(monkeypatch, suffix, size):
    data = encoded(suffix, picture(*size)[..., ::-1])
    monkeypatch.setattr(images.cv2, "imdecode", None)
    assert images.read_size(data) == size


def test_grey_becomes_three_equal_channels():
    for suffix in (".png", ".jpg"):
        read = images.read_image(encoded(suffix, picture()[..., 0]))
        assert read.shape == (24, 40, 3)
        np.testing.assert_array_equal(read, np.repeat(read[..., :1], 3, 2))


def test_16_bits_are_scaled_over_their_range():
    sixteen = np.array([[0, 128, 129, 256, 32768, 65279, 65535]], np.uint16)
    expected = np.rint(sixteen / 257).astype(np.uint8)
    read = images.read_image(encoded(".png", sixteen))
    np.testing.assert_array_equal(read[..., 0], expected)
    assert read[0, -1, 0] == 255  # would also hold if the low byte were dropped, but 256 would not


def test_transparency_is_blended_with_white():
    alpha = np.tile(np.linspace(0, 255, 40).astype(np.uint8), (24, 1))
    read = images.read_image(encoded(".png", np.dstack([picture()[..., ::-1], alpha])))
    share = alpha[..., None] / 255
    np.testing.assert_allclose(read, picture() * share + 255 * (1 - share), atol=0.51)


def test_cmyk_jpeg():
    read = images.read_image(CMYK)
    assert read.shape == (8, 16, 3)
    assert np.abs(read.astype(int) - [200, 60, 20]).max() <= 3


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".bmp", ".tiff", ".webp", ".gif"])
def test_a_file_cut_anywhere_is_refused(suffix):
    data = encoded(suffix, picture()[..., ::-1])
    for length in range(0, len(data), 1 if len(data) < 1500 else 7):
        with pytest.raises(InputError, match="^frame7"):
            images.read_image(data[:length], name="frame7")
    with pytest.raises(InputError):
        images.read_image(data[:-1])


def test_progressive_jpeg_cut_between_its_scans_is_refused():
    data = cv2.imencode(".jpg", picture(64, 64), [cv2.IMWRITE_JPEG_PROGRESSIVE, 1])[1].tobytes()
    scans = [at for at in range(len(data) - 1) if data[at : at + 2] == b"\xff\xda"]
    assert len(scans) > 2
    images.read_image(data)
    for at in scans[1:]:
        with pytest.raises(InputError, match="cut short"):
            images.read_image(data[:at])


def test_real_jpegs_are_read_and_refused_when_cut(real_data):
    rng = np.random.default_rng(0)
    paths = sorted((real_data / "shanghaitech" / "part_A" / "test_data" / "images").glob("*.jpg"))[:12]
    for path in paths:
        data = path.read_bytes()
        assert images.read_image(path).shape[:2] == images.read_size(path) == images.read_size(data)
        for length in rng.integers(0, len(data), 8):
            with pytest.raises(InputError):
                images.read_image(data[:length])


def test_a_bomb_is_refused_by_its_header(monkeypatch):
    bomb = png_of_zeros(60_000, 60_000)
    assert len(bomb) < 200
    monkeypatch.setattr(images.cv2, "imdecode", None)
    for read in (images.read_image, images.read_size):
        with pytest.raises(InputError, match="60000x60000 pixels are more than"):
            read(bomb)
    with pytest.raises(InputError, match="more than the 100 that are allowed"):
        images.read_size(encoded(".png", picture()), max_pixels=100)


def test_opencv_has_the_limit_too():
    code = (
        "from cc_jax.data import images\n"
        "import cv2, numpy as np, sys\n"
        "data = sys.stdin.buffer.read()\n"
        "try: cv2.imdecode(np.frombuffer(data, np.uint8), -1)\n"
        "except cv2.error as error: print('refused', 'MAX_IMAGE_PIXELS' in str(error))\n"
    )
    env = {k: v for k, v in os.environ.items() if not k.startswith("OPENCV_")}
    done = subprocess.run(
        [sys.executable, "-c", code],
        input=png_of_zeros(30_000, 30_000),
        capture_output=True,
        cwd=ROOT,
        env=env,
    )
    assert done.stdout.split() == [b"refused", b"True"], done


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "is empty"),
        (b"what is this", "not an image of a known format"),
        (b"\0\0\0\x1cftypheic" + bytes(30), "HEIC"),
        (png_of_zeros(0, 5), "no pixels"),
        (png_of_zeros(300, 300), "cannot be decoded"),  # has fewer pixels than its header says
    ],
)
def test_other_files_get_one_clear_line(data, words):
    with pytest.raises(InputError) as caught:
        images.read_image(data, name="a/b.jpg")
    assert str(caught.value).startswith("a/b.jpg: ") and words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_flipped_bit_in_a_png_is_refused():
    data = bytearray(encoded(".png", picture()))
    data[len(data) // 2] ^= 1
    with pytest.raises(InputError, match="damaged PNG"):
        images.read_image(bytes(data))


def test_missing_files_and_folders(tmp_path):
    with pytest.raises(InputError, match="none.jpg: cannot be read"):
        images.read_image(tmp_path / "none.jpg")
    with pytest.raises(InputError, match="is a folder"):
        images.read_size(str(tmp_path))


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_headers_of_damaged_files_end_in_a_value_error(data):
    suffix = data.draw(st.sampled_from([".jpg", ".png", ".bmp", ".tiff", ".webp", ".gif"]))
    bytes_ = bytearray(encoded(suffix, picture()))
    for at in data.draw(st.lists(st.integers(0, min(len(bytes_), 400) - 1), min_size=1, max_size=4)):
        bytes_[at] = data.draw(st.integers(0, 255))
    try:
        header = headers.parse(bytes(bytes_))
    except ValueError:
        return
    assert header.height > 0 and header.width > 0 and 1 <= header.orientation <= 8


def test_threads_read_the_same():
    data = [encoded(".jpg", picture(64 + i, 80)) for i in range(8)]
    expected = [images.read_image(d) for d in data]
    with ThreadPoolExecutor(4) as pool:
        for i, read in enumerate(pool.map(images.read_image, data * 5)):
            np.testing.assert_array_equal(read, expected[i % 8])


def test_written_images_come_back(tmp_path):
    images.write_image(tmp_path / "a.png", picture())
    np.testing.assert_array_equal(images.read_image(tmp_path / "a.png"), picture())
    images.write_image(tmp_path / "a.jpg", picture(), quality=100)
    assert np.abs(images.read_image(tmp_path / "a.jpg").astype(int) - picture()).mean() < 4
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.jpg", "a.png"]  # no temporary file is left
    with pytest.raises(ValueError, match="uint8"):
        images.encode_image(picture().astype(float))
    with pytest.raises(ValueError, match="gif"):
        images.encode_image(picture(), ".gif")


def test_list_images(tmp_path):
    names = ["IMG_10.jpg", "IMG_9.JPG", "img_2.png", "sub/3.tif", "._IMG_9.jpg", ".git/4.png", "notes.txt"]
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    found = [str(path.relative_to(tmp_path)) for path in images.list_images(tmp_path)]
    assert found == ["img_2.png", "IMG_9.JPG", "IMG_10.jpg", "sub/3.tif"]
    with pytest.raises(InputError, match="not a folder"):
        images.list_images(tmp_path / "none")


def test_safe_name():
    assert images.safe_name("part_a/IMG_1.jpg") == "part_a_IMG_1.jpg"
    assert images.safe_name("../..") == "image"
    assert len(images.safe_name("x" * 300)) == 100 and images.safe_name("x" * 300) != images.safe_name(
        "x" * 301
    )
