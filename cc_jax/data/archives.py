"""Downloaded archives, unpacked for a while beside the prepared data. No path in an archive can leave its folder."""

import contextlib
import lzma
import pathlib
import shutil
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from typing import Any

from cc_jax.data import files
from cc_jax.errors import InputError

SUFFIXES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")
_DAMAGED = (zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError, EOFError, OSError, RuntimeError)


@contextlib.contextmanager
def unpacked(path: pathlib.Path, beside: pathlib.Path) -> Iterator[pathlib.Path]:
    """Yield a folder with the raw files. An archive is unpacked on entry and removed on exit.

    Args:
      path: A folder, which is yielded as it is, or an archive.
      beside: An archive is unpacked into a hidden folder in this one.

    Raises:
      InputError: The archive is damaged, contains a path or a link that leads out of it, or does not fit on the disk.
    """
    if path.is_dir():
        yield path
        return
    # One process at a time. What a killed process has left behind is removed.
    with files.lock(beside, f"unpacked-{path.name}"):
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
                f"{path}: is not an archive of a known format ({', '.join(SUFFIXES)}); unpack it yourself"
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
        _check_free_space(path, folder, sum(member.file_size for member in members))
        archive.extractall(folder)


def _untar(path: pathlib.Path, folder: pathlib.Path) -> None:
    with tarfile.open(path) as archive:
        members = archive.getmembers()
        for member in members:
            if _leads_out(member.name) or not (member.isfile() or member.isdir()):
                raise InputError(f"{path}: {member.name!r} leads out of the archive; nothing was unpacked")
        _check_end(path, archive)
        _check_free_space(path, folder, sum(member.size for member in members))
        # The members were checked above. The filter also clears odd permissions; Python has it from 3.11.4 on.
        options: dict[str, Any] = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}
        archive.extractall(folder, members, **options)


def _check_end(path: pathlib.Path, archive: tarfile.TarFile) -> None:
    """Raise InputError unless only zeros follow the last member.

    tarfile takes a damaged header for the end of the archive. Reading on also makes a compressed stream check itself.
    """
    archive.fileobj.seek(archive.offset)
    while block := archive.fileobj.read(2**20):
        if any(block):
            raise InputError(f"{path}: cannot be unpacked (it is damaged after {archive.offset:,} bytes)")


def _leads_out(name: str) -> bool:
    pure = pathlib.PurePosixPath(name)
    return pure.is_absolute() or ".." in pure.parts or ":" in name.split("/")[0]


def _check_free_space(path: pathlib.Path, folder: pathlib.Path, size: int) -> None:
    free = shutil.disk_usage(folder).free
    if size > free:
        raise InputError(f"{path}: unpacks to {size:,} bytes, but {folder.parent} has only {free:,} left")
