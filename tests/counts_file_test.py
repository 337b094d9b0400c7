"""Tables of counts as spreadsheets write them, and what is wrong with others."""

import pathlib

import pytest

from cc_jax.errors import InputError
from cc_jax.evaluation.counts_file import read_counts

PLAIN = [("a.png", 3.0), ("b, c.png", 212.5)]


@pytest.fixture
def folder(tmp_path) -> pathlib.Path:
    for name in ("a.png", "b, c.png", "ä.png"):
        (tmp_path / name).touch()
    (tmp_path / "same.png").symlink_to("a.png")
    return tmp_path


def read(folder: pathlib.Path, data: bytes) -> list[tuple[str, float]]:
    (folder / "counts.csv").write_bytes(data)
    return [(image.name, count) for image, count in read_counts(folder / "counts.csv")]


@pytest.mark.parametrize(
    "text",
    [
        'image,count\na.png,3\n"b, c.png",212.5\n',
        'image,count\r\na.png,3\r\n"b, c.png",212.5',
        "image;count\na.png;3\nb, c.png;212,5\n",
        "sep=;\r\nimage;count\r\na.png;3,0\r\nb, c.png;212,5\r\n",
        "image\tcount\na.png\t3\nb, c.png\t212.5\n",
        'Count, IMAGE \n3,a.png\n212.5," b, c.png "\n',
        'image,count,,\na.png,3,,\n,,,\n"b, c.png",212.5,,\n\n',
        '\n;;\nday;image;count;remark\nMo;a.png;3;\nTu;"b, c.png";212,5;"two\nlines"\n',
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_all_ways_to_write_a_table_give_the_same_counts(folder, text, encoding):
    assert read(folder, text.encode(encoding)) == PLAIN


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_names_keep_their_letters(folder, encoding):
    assert read(folder, "image;count\nä.png;0\n".encode(encoding)) == [("ä.png", 0)]


@pytest.mark.parametrize(
    "text, message",
    [
        ("picture,count\na.png,3\n", "columns image and count, each once; it is 'picture,count'"),
        ("image,count,Count\na.png,3,4\n", "each once; it is 'image,count,Count'"),
        ("a.png,3\n", "it is 'a.png,3'"),
        ("", "it is ''"),
        ("image,count\n", "has no rows"),
        ("image;count\n;\n", "has no rows"),
        ("image,count\na.png,3\nnone.png,4\n", "line 3: there is no image .*none.png"),
        ("image,count\n,4\n", "line 2: there is no image"),
        ("image,count\na.png,many\n", "line 2: 'many' is not a number"),
        ("image,count\na.png,-3\n", "line 2: '-3' is not a number"),
        ("image,count\na.png,nan\n", "line 2: 'nan' is not a number"),
        ("image,count\na.png,\n", "line 2: '' is not a number"),
        ("image,count\na.png\n", "line 2: has 1 cells, too few"),
        ("image,count\nb, c.png,4\n", "line 2: has 3 cells, the header names 2 columns; a name with a comma"),
        ("image,count\na.png,1.234\n", "line 2: '1.234' can be read in two ways; write 1234"),
        ('image,count\na.png,"1,234"\n', "line 2: '1,234' can be read in two ways; write 1234"),
        ("image;count\na.png;1.234.567\n", "two ways; write 1234567"),
        ("image,count\na.png,3\n\na.png,4\n", "line 4: a.png stands in line 2 already"),
        ("image,count\na.png,3\n./a.png,3\n", "line 3: a.png stands in line 2 already"),
        ("image,count\nsame.png,3\na.png,3\n", "line 3: a.png stands in line 2 already"),
        ('image,count\n"a.png"x,3\n', "line 2: is not a CSV file"),
        ("image,count\na\0.png,3\n", "NUL bytes"),
    ],
)
def test_what_is_wrong_is_said_with_its_line(folder, text, message):
    with pytest.raises(InputError, match=message):
        read(folder, text.encode())


def test_another_encoding_is_refused(folder):
    with pytest.raises(InputError, match="UTF-8 or UTF-16.*save it as 'CSV UTF-8'"):
        read(folder, "image,count\nä.png,3\n".encode("latin-1"))


def test_a_file_that_cannot_be_read_is_named(folder):
    with pytest.raises(InputError, match=r"none.csv: cannot be read: No such file"):
        read_counts(folder / "none.csv")
