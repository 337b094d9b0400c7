"""Archives: they are prepared as their folder is, and refused if they are damaged or lead out of their folder."""

import io
import pathlib
import tarfile
import zipfile

import pytest
from raw_trees import shanghaitech

from cc_jax.data import archives, preparation
from cc_jax.errors import InputError

FRAMES = {"train": {1: [(10, 20), (30, 40)], 2: [(50, 50)]}}


_KINDS = {".tgz": "gz", ".xz": "xz", ".tar": ""}


def pack(tree: pathlib.Path, path: pathlib.Path) -> pathlib.Path:
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for file in tree.rglob("*"):
                archive.write(file, file.relative_to(tree))
    else:
        with tarfile.open(path, f"w:{_KINDS[path.suffix]}") as archive:
            archive.add(tree, ".")
    return path


@pytest.mark.parametrize("name", ["raw.zip", "raw.tgz", "raw.xz"])
def test_an_archive_is_prepared_as_its_folder_is(tmp_path, name):
    tree = shanghaitech(tmp_path / "raw", FRAMES)
    archive = pack(tree, tmp_path / name)
    from_folder = preparation.prepare("shanghaitech/part_a", tree, tmp_path / "one")
    from_archive = preparation.prepare("shanghaitech/part_a", archive, tmp_path / "two")
    strip = lambda lines: [line.split("raw", 1)[-1].split("/", 1)[-1] for line in lines[1:]]  # noqa: E731
    assert strip(from_folder) == strip(from_archive)
    assert "already prepared" in preparation.prepare("shanghaitech/part_a", archive, tmp_path / "two")[0]
    assert not list((tmp_path / "two").glob(".unpacked-*/"))  # only the lock file stays


def zip_of(path, name, mode=0):
    with zipfile.ZipFile(path, "w") as archive:
        member = zipfile.ZipInfo(name)
        member.external_attr = mode << 16
        archive.writestr(member, "/etc/passwd")


def tar_of(path, name, kind=tarfile.REGTYPE, target=""):
    with tarfile.open(path, "w") as archive:
        member = tarfile.TarInfo(name)
        member.type, member.linkname, member.size = kind, target, 3 if kind == tarfile.REGTYPE else 0
        archive.addfile(member, io.BytesIO(b"bad"))


@pytest.mark.parametrize(
    "make",
    [
        lambda path: zip_of(path, "../out.txt"),
        lambda path: zip_of(path, "a/../../out.txt"),
        lambda path: zip_of(path, "/out.txt"),
        lambda path: zip_of(path, "C:\\out.txt"),
        lambda path: zip_of(path, "..\\out.txt"),
        lambda path: zip_of(path, "link", 0o120777),
        lambda path: tar_of(path, "../out.txt"),
        lambda path: tar_of(path, "/out.txt"),
        lambda path: tar_of(path, "link", tarfile.SYMTYPE, "/etc"),
        lambda path: tar_of(path, "link", tarfile.LNKTYPE, "/etc/passwd"),
        lambda path: tar_of(path, "device", tarfile.CHRTYPE),
    ],
)
def test_nothing_leaves_the_folder(tmp_path, make):
    make(tmp_path / "evil")
    before = {path for path in tmp_path.rglob("*")}
    with (
        pytest.raises(InputError, match="leads out of the archive"),
        archives.unpacked(tmp_path / "evil", tmp_path / "data"),
    ):
        pass
    left = {path for path in tmp_path.rglob("*")} - before
    assert {path.name for path in left} == {"data", ".unpacked-evil.lock"}


@pytest.mark.parametrize("name", ["raw.zip", "raw.tgz", "raw.xz", "raw.tar"])
@pytest.mark.parametrize("share", [0.2, 0.5, 0.7])
def test_a_damaged_archive_is_named(tmp_path, name, share):
    archive = pack(shanghaitech(tmp_path / "raw", FRAMES), tmp_path / name)
    data = bytearray(archive.read_bytes())
    begin = int(share * len(data)) // 512 * 512
    data[begin : begin + 512] = bytes(range(256)) * 2
    archive.write_bytes(data)
    # An uncompressed tar has checksums only of its headers. Damage between them is found in the files.
    said = (
        "nothing was written|cannot be unpacked"
        if name == "raw.tar"
        else f"{name}: (cannot be unpacked|is not an archive)"
    )
    with pytest.raises(InputError, match=said) as caught:
        preparation.prepare("shanghaitech/part_a", archive, tmp_path / "data")
    assert "\n" not in str(caught.value)


def test_a_file_that_is_not_an_archive_is_refused(tmp_path):
    (tmp_path / "raw.rar").write_bytes(b"Rar!\x1a\x07\x00")
    with pytest.raises(InputError, match="raw.rar: is not an archive of a known format.*unpack it yourself"):
        preparation.prepare("shanghaitech/part_a", tmp_path / "raw.rar", tmp_path / "data")


def test_an_archive_larger_than_the_disk_is_refused_before_it_is_unpacked(tmp_path, monkeypatch):
    archive = pack(shanghaitech(tmp_path / "raw", FRAMES), tmp_path / "raw.zip")
    monkeypatch.setattr(archives.shutil, "disk_usage", lambda folder: type("Usage", (), {"free": 10})())
    with pytest.raises(InputError, match="unpacks to .* bytes"):
        preparation.prepare("shanghaitech/part_a", archive, tmp_path / "data")
