"""How much is read at most from a file that may be damaged or malicious."""

import zipfile

# VGG-16 with its classifier has 0.55 GB.
MAX_BYTES = 2**31


def read_member(archive: zipfile.ZipFile, name: str) -> bytes:
    """Return one file of a zip archive.

    Raises:
      ValueError: The file states that it is larger than `MAX_BYTES`. It has not been unpacked.
    """
    if archive.getinfo(name).file_size > MAX_BYTES:
        raise ValueError(f"{name} is larger than {MAX_BYTES:,} bytes")
    return archive.read(name)
