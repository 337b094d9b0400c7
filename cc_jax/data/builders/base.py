"""The contract of a dataset plug-in.

A dataset is one file, named after the dataset, in this folder or in `data/builders/` of a folder in $CC_JAX_PLUGINS. The
file defines a class `Builder`, a subclass of `CrowdDatasetBuilder`, and no other file has to be edited. This is a complete
plug-in for a folder of images with a text file of head points beside each:

    '''Market square photographs.'''

    from cc_jax.data import images
    from cc_jax.data.builders import base, labels


    class Builder(base.CrowdDatasetBuilder):
        '''Photographs of a market square.'''

        def raw(self, manual_dir):
            found = [
                base.RawImage(path.stem, path, labels.read_text(path.with_suffix(".txt")))
                for path in images.list_images(manual_dir)
            ]
            return base.Raw({"train": found[:-1], "test": found[-1:]})

Saved as market.py, it is prepared by `python -m cc_jax.prepare --dataset=market --manual_dir=DIR` and then used by its
name, as in `--config.target.dataset=market`.

What the base class does for a plug-in:
  - It decodes every image once and names all files that are wrong before anything is written (see `checks.py`).
  - It compares the number of images and people with the published totals.
  - It stores the bytes of the image files and the head points, never density maps, as TFDS records in the array_record
    format. Neither writing nor reading them needs TensorFlow.

Helpers for plug-ins: `labels.py` reads label files, `matlab.py` reads .mat files, `pairing.py` finds the dataset's folder
and pairs images with labels, `notes.py` words the remarks that `prepare` prints.
"""

import pathlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import tensorflow_datasets as tfds

from cc_jax.data import images
from cc_jax.data.builders import checks, notes
from cc_jax.data.builders.raw import ALL, Raw, RawImage, Total
from cc_jax.data.builders.summary import fingerprint, summarize
from cc_jax.errors import InputError

__all__ = ["ALL", "CrowdDatasetBuilder", "Raw", "RawImage", "Total", "to_record"]

# An error names this many files. If every file of a folder is wrong, a longer list does not help.
_MAX_NAMED_FILES = 20
# Formats that TFDS's own decoder can read. Images in other formats are stored as PNG.
_STORED_UNCHANGED = (".jpg", ".jpeg", ".png", ".bmp")


# `skip_registration` is a keyword of TFDS, whose types are unknown.
class CrowdDatasetBuilder(  # pyright: ignore[reportGeneralTypeIssues]
    tfds.core.GeneratorBasedBuilder,
    skip_registration=True,  # pyright: ignore[reportCallIssue]
):
    """Base class of all dataset plug-ins, a standard TFDS builder.

    A plug-in must define `raw`. A dataset that is generated may define `checked` instead. Optional are:
      - `totals`, the published totals.
      - VERSION, DESCRIPTION, CITATION, HOMEPAGE: what TFDS stores about the dataset. Raise VERSION if a change of the
        builder changes the records.
      - MANUAL_DOWNLOAD_INSTRUCTIONS: a sentence that says which folder --manual_dir is. None if the dataset is generated
        and needs no raw files: it is then prepared when it is first opened.
      - BUILDER_CONFIGS: the configs of the dataset, which users write as NAME/CONFIG; `self.builder_config.name` is the
        one in use.
      - `make_config`, instead of BUILDER_CONFIGS, if any config name is allowed.
      - SCENE_FIELDS, `scenes_like`, SCENES_APART, `submission`: see below.

    The dataset's `name` is that of the file.

    Attributes:
      SCENE_FIELDS: Names of the numbers in `RawImage.scene`. A dataset that has them is not shuffled on disk, because
        metadata.json lists the scenes in the order of the records.
      SCENES_APART: Whether the published error is a mean over scenes. Ids are then "scene/name".
      make_config: Function from a config name ("" if none is given) to a `tfds.core.BuilderConfig`.
      submission: Function from the rows of predictions.csv to the text of the file that the dataset's evaluation server
        accepts. For datasets that keep the labels of a split secret.
      prechecked: The result of `checked`, set by callers that have it already.
    """

    VERSION = tfds.core.Version("1.0.0")
    DESCRIPTION = ""
    HOMEPAGE = None
    CITATION = ""
    MANUAL_DOWNLOAD_INSTRUCTIONS = "--manual_dir is the folder that holds the raw files."
    SCENE_FIELDS: tuple[str, ...] = ()
    SCENES_APART = False
    make_config: Callable[[str], Any] | None = None
    submission: Callable[[Sequence[dict]], str] | None = None
    prechecked: Raw | None = None

    def __init_subclass__(cls, **kwargs):
        # TFDS would derive the name from the class. It would also register the class, and refuse a second one of the
        # same name; plug-ins are found by cc_jax.registry.
        if "name" not in cls.__dict__:
            cls.name = cls.__module__.rpartition(".")[2]
        super().__init_subclass__(**{"skip_registration": True, **kwargs})

    def raw(self, manual_dir: pathlib.Path) -> Raw:
        """Find the images of every split and read their labels, without opening the images.

        Put what is wrong with single files into `Raw.problems`, so that the user sees all of them at once.

        Args:
          manual_dir: The folder with the raw files.

        Raises:
          ConfigError: The folder does not exist or has another layout.
          InputError: A file is missing or wrong without which nothing can be read.
        """
        raise NotImplementedError

    def totals(self) -> dict[str, Total]:
        """Return the published totals by split, with `ALL` for the whole dataset. Empty if none are published."""
        return {}

    @staticmethod
    def scenes_like(scenes: Sequence[Sequence[int]], target: str) -> list[int]:
        """Return the indices of the scenes that resemble a target dataset. For datasets with SCENE_FIELDS.

        Args:
          scenes: A row of numbers per image, in the order of SCENE_FIELDS.
          target: Name of the target dataset.

        Raises:
          ConfigError: The target is unknown.
        """
        raise NotImplementedError

    def checked(self, manual_dir: pathlib.Path) -> Raw:
        """Return `raw` with every image decoded once and every point inside its image.

        Raises:
          InputError: Names the files that are wrong.
        """
        raw = self.raw(manual_dir)
        splits, problems = {}, list(raw.problems)
        for split, raw_images in raw.splits.items():
            splits[split], more = checks.check_images(raw_images)
            problems += more
        if problems:
            raise InputError(f"{notes.first_few(problems, _MAX_NAMED_FILES, '; ')}; nothing was written")
        return Raw(splits, raw.notes, digest=fingerprint(raw))

    def _info(self) -> tfds.core.DatasetInfo:
        return tfds.core.DatasetInfo(
            builder=self,
            description=self.DESCRIPTION,
            homepage=self.HOMEPAGE,
            citation=self.CITATION or None,
            features=tfds.features.FeaturesDict(
                {
                    "id": tfds.features.Text(),
                    "image": tfds.features.Image(shape=(None, None, 3)),
                    "points": tfds.features.Tensor(shape=(None, 2), dtype=np.float32),
                    "roi": tfds.features.Tensor(shape=(None, 2), dtype=np.float32),
                    "labelled": np.bool_,
                    "height": np.int32,
                    "width": np.int32,
                }
            ),
            metadata=tfds.core.MetadataDict(),
            disable_shuffling=bool(self.SCENE_FIELDS),
        )

    def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict[str, Iterable]:
        manual_dir = dl_manager.manual_dir if self.MANUAL_DOWNLOAD_INSTRUCTIONS else ""
        raw = self.prechecked or self.checked(pathlib.Path(manual_dir))
        self.info.metadata.update(summarize(raw))
        return {split: self._generate_examples(raw_images) for split, raw_images in raw.splits.items()}

    def _generate_examples(self, raw_images: Iterable[RawImage]) -> Iterator[tuple[str, dict]]:
        for raw_image in raw_images:
            yield raw_image.id, to_record(raw_image)


def to_record(raw_image: RawImage) -> dict[str, Any]:
    """Return the record of a checked image, in the form that TFDS encodes."""
    return {
        "id": raw_image.id,
        "image": _image_bytes(raw_image.image),
        "points": np.asarray(raw_image.points, np.float32),
        "roi": np.asarray(raw_image.roi, np.float32),
        "labelled": raw_image.labelled,
        "height": raw_image.height,
        "width": raw_image.width,
    }


def _image_bytes(image: pathlib.Path | bytes) -> bytes:
    """Return the bytes of the file, or of a PNG if TFDS's decoder does not know the file's format."""
    if isinstance(image, bytes):
        return image
    if image.suffix.lower() in _STORED_UNCHANGED:
        return image.read_bytes()
    return images.encode_image(images.read_image(image), ".png")
