"""Raw folders: finding the dataset's folder, and pairing its image files with their label files."""

import pathlib
from collections.abc import Callable, Mapping, Sequence

from cc_jax.data.builders.raw import RawImage
from cc_jax.errors import ConfigError, InputError


def find_root(manual_dir: pathlib.Path, unpacked: Sequence[str], contents: Sequence[str]) -> pathlib.Path:
    """Find the dataset's folder: `manual_dir` itself, or the folder inside it that the download unpacks to.

    Args:
      manual_dir: The folder given by --manual_dir.
      unpacked: Names of the unpacked folder. Authors and mirrors spell it differently.
      contents: Files or folders that identify the dataset. One of them is enough.

    Returns:
      The first folder that contains one of `contents`.

    Raises:
      ConfigError: No folder contains any of them.
    """
    for folder in (manual_dir, *(manual_dir / name for name in unpacked)):
        if any((folder / name).exists() for name in contents):
            return folder
    raise ConfigError(
        f"--manual_dir={manual_dir}: contains no {' or '.join(contents)}; is it the folder of this dataset?"
    )


def pair(
    image_files: Mapping[str, pathlib.Path],
    label_files: Mapping[str, pathlib.Path],
    read: Callable[[str, pathlib.Path, pathlib.Path], RawImage],
) -> tuple[list[RawImage], list[str]]:
    """Read every image that has a label file.

    Args:
      image_files: Image file of each key.
      label_files: Label file of each key.
      read: Called with the key, the image file and the label file. An InputError that it raises becomes a problem of
        that file alone.

    Returns:
      The images in the order of `image_files`, and a line for each problem. A file without its counterpart is a
      problem.
    """
    raw_images, problems = [], []
    for key, image_file in image_files.items():
        if key not in label_files:
            problems.append(f"{image_file}: has no label file")
            continue
        try:
            raw_images.append(read(key, image_file, label_files[key]))
        except InputError as error:
            problems.append(str(error))
    return raw_images, problems + [
        f"{label_file}: has no image" for key, label_file in label_files.items() if key not in image_files
    ]
