"""Downloads as they come: an archive is unpacked beside the data, and no path in it can leave that folder."""

import contextlib
import lzma
import pathlib
import shutil
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Iterator

from cc_jax.data import files
from cc_jax.errors import InputError

SUFFIXES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")
_DAMAGED = (zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError, EOFError, OSError, RuntimeError)


@contextlib.contextmanager
def unpacked(path: pathlib.Path, beside: pathlib.Path) -> Iterator[pathlib.Path]:
    """The folder that `path` is, or the archive's content in a hidden folder of `beside` for as long as it is used.

    Raises InputError for an archive that is damaged, holds a path or a link that leads out of it, or does not fit on
    the disk.
    """
    if path.is_dir():
        yield path
        return
    with files.lock(
        beside, f"unpacked-{path.name}"
    ):  # one process at a time; a killed one's remains are removed
        folder = beside / f".unpacked-{path.name}"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        try:
            _unpack(path, folder)
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def _unpack(path: pathlib.Path, folder: pathlib.Path) -> None:
    try:
        if zipfile.is_zipfile(path):
            _unzip(path, folder)
        elif tarfile.is_tarfile(path):
            _untar(path, folder)
        else:
            raise InputError(
                f"{path}: is no archive of a known kind ({', '.join(SUFFIXES)}); unpack it yourself"
            )
    except _DAMAGED as error:
        raise InputError(f"{path}: cannot be unpacked ({str(error)[:120]})") from error


def _unzip(path: pathlib.Path, folder: pathlib.Path) -> None:
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
        for member in members:
            name = member.filename.replace("\\", "/")
            if _leads_out(name) or stat.S_ISLNK(member.external_attr >> 16):
                raise InputError(
                    f"{path}: {member.filename!r} leads out of the archive; nothing was unpacked"
                )
        _fits(path, folder, sum(member.file_size for member in members))
        archive.extractall(folder)


def _untar(path: pathlib.Path, folder: pathlib.Path) -> None:
    with tarfile.open(path) as archive:
        members = archive.getmembers()
        for member in members:
            if _leads_out(member.name) or not (member.isfile() or member.isdir()):
                raise InputError(f"{path}: {member.name!r} leads out of the archive; nothing was unpacked")
        _check_end(path, archive)
        _fits(path, folder, sum(member.size for member in members))
        archive.extractall(folder, members, filter="data")


def _check_end(path: pathlib.Path, archive: tarfile.TarFile) -> None:
    """Raises InputError unless nothing but zeros follows the last member.

    tarfile takes a damaged header for the end, and a compressed stream is checked where it ends.
    """
    archive.fileobj.seek(archive.offset)
    while block := archive.fileobj.read(2**20):
        if any(block):
            raise InputError(f"{path}: cannot be unpacked (it is damaged after {archive.offset:,} bytes)")


def _leads_out(name: str) -> bool:
    pure = pathlib.PurePosixPath(name)
    return pure.is_absolute() or ".." in pure.parts or ":" in name.split("/")[0]


def _fits(path: pathlib.Path, folder: pathlib.Path, size: int) -> None:
    free = shutil.disk_usage(folder).free
    if size > free:
        raise InputError(f"{path}: unpacks to {size:,} bytes, {folder.parent} has {free:,} left")
