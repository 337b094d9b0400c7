"""What a builder reads from a dataset's raw files: images with head points, grouped by split."""

import dataclasses
import pathlib
from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float32

# Key of the totals over all splits, in `CrowdDatasetBuilder.totals`.
ALL = "all"


@dataclasses.dataclass(frozen=True)
class RawImage:
    """One raw image and its labels.

    Attributes:
      id: Identifier, unique within the dataset and the same in every run.
      image: Path or bytes of the image file.
      points: Head positions (x, y), float32 [N, 2], in pixels of the upright image with y pointing down.
      labelled: Whether anybody has annotated the image. If False, `points` is empty.
      roi: Corners (x, y) of the region of interest, float32 [M, 2]: only people inside it count. An empty array stands
        for the whole image.
      scene: Numbers that describe the scene, in the order of the builder's `SCENE_FIELDS`.
      height: Height in pixels. Set by `checks.check_image`.
      width: Width in pixels. Set by `checks.check_image`.
      moved: Number of points that were outside the image and were moved to its border. Set by `checks.check_image`.
    """

    id: str
    image: pathlib.Path | bytes
    points: Float32[np.ndarray, "N 2"]
    labelled: bool = True
    roi: Float32[np.ndarray, "M 2"] = dataclasses.field(default_factory=lambda: np.zeros((0, 2), np.float32))
    scene: tuple[int, ...] = ()
    height: int = 0
    width: int = 0
    moved: int = 0


@dataclasses.dataclass(frozen=True)
class Raw:
    """The content of a dataset's raw folder.

    Attributes:
      splits: The images of each split.
      notes: Remarks for the user, one line each, such as a split that this copy of the dataset lacks.
      problems: Files that are wrong, one line each. If there is any, nothing is written.
      digest: `summary.fingerprint` of the files before points outside an image were moved. "" until it is known.
    """

    splits: Mapping[str, Sequence[RawImage]]
    notes: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()
    digest: str = ""


@dataclasses.dataclass(frozen=True)
class Total:
    """Published size of a split. `points` is None if only the number of images is published."""

    images: int
    points: int | None
