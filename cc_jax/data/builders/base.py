"""What the dataset builders share: the features, the raw frame and its check, writing in one step.

A builder is a standard `tfds.core.GeneratorBasedBuilder` that stores head points, never density maps. It works
without TensorFlow because the images go in as the bytes of their files and the records are array_record.

Points on or over the border: a point outside `0 <= x < width, 0 <= y < height` is moved to the nearest pixel of
the frame and still counts as one person; `prepare` says how many were moved.
"""

import contextlib
import dataclasses
import hashlib
import io
import json
import os
import pathlib
import shutil
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent import futures

import numpy as np
import tensorflow_datasets as tfds
from jaxtyping import Float32

from cc_jax.data import files, images
from cc_jax.errors import ConfigError, InputError

FILE_FORMAT = "array_record"
ALL = "all"  # stands for all splits together in `totals`
_NAMED = 20  # bad files that an error names; a folder that is wrong throughout needs no longer list
_STORED_AS_IS = (".jpg", ".jpeg", ".png", ".bmp")  # the kinds that TFDS's own decoder reads too


@dataclasses.dataclass(frozen=True)
class RawImage:
    """One raw image and its labels.

    Attributes:
      id: unique within the dataset, stays the same from run to run.
      image: path or bytes of the image file.
      points: head positions (x, y) in pixels of the upright image, y downwards; float32 [N, 2].
      labelled: False where nobody has counted; `points` is then empty.
      roi: corners (x, y) of the polygon in which people count; no rows = the whole frame. float32 [M, 2].
      scene: what is known of the scene, numbers in the order of the builder's `SCENE`.
      height, width, moved: filled in by `check`.
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
    """What a folder holds: frames by split, and what a person should know about it."""

    splits: dict[str, Sequence[RawImage]]
    notes: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()  # what is wrong with the files, one line a file: nothing is built then
    digest: str = ""  # `fingerprint` of the files as they were found, points over the border unmoved


@dataclasses.dataclass(frozen=True)
class Total:
    """Published size of a split; `points` is None where only the images' number is published."""

    images: int
    points: int | None


class CrowdDatasetBuilder(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """Base of all builders; a dataset gives `raw`, or overrides the two methods that TFDS calls."""

    VERSION = tfds.core.Version("1.0.0")
    DESCRIPTION = ""
    HOMEPAGE = None
    CITATION = ""
    SCENE: tuple[str, ...] = ()  # names of a frame's `scene`; a set that has them keeps its frames' order
    # For a split whose labels its authors keep: rows of predictions.csv -> the text of the file that goes to their server.
    submission: Callable[[Sequence[dict]], str] | None = None
    SCENES_APART = False  # ids are "scene/name", and the published error is a mean over scenes
    ready: Raw | None = None  # set by a caller that has run `checked` already

    def raw(self, manual_dir: pathlib.Path) -> Raw:
        """Frames under `manual_dir`, labels parsed, images not yet opened.

        What is wrong with single files goes into `problems`, so that all of them are named at once.
        Raises ConfigError (no such folder or layout) or InputError (a file without which nothing can be read).
        """
        raise NotImplementedError

    def totals(self) -> dict[str, Total]:
        """Published totals by split, or of `ALL`; empty where there are none."""
        return {}

    def checked(self, manual_dir: pathlib.Path) -> Raw:
        """`raw`, with every image decoded once and every point inside its frame. Raises InputError naming all bad files."""
        raw = self.raw(manual_dir)
        splits, problems = {}, list(raw.problems)
        for split, frames in raw.splits.items():
            splits[split], more = check_all(frames)
            problems += more
        if problems:
            raise InputError(f"{some(problems, _NAMED, '; ')}; nothing was written")
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
            disable_shuffling=bool(self.SCENE),  # the scenes stand in metadata.json in the records' order
        )

    def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict[str, Iterable]:
        manual_dir = dl_manager.manual_dir if self.MANUAL_DOWNLOAD_INSTRUCTIONS else ""
        raw = self.ready or self.checked(pathlib.Path(manual_dir))
        self.info.metadata.update(summary(raw))
        return {split: self._generate_examples(frames) for split, frames in raw.splits.items()}

    def _generate_examples(self, frames: Iterable[RawImage]) -> Iterator[tuple[str, dict]]:
        for frame in frames:
            yield frame.id, features(frame)


def features(frame: RawImage) -> dict:
    """The record of a checked frame, as TFDS encodes it."""
    return {
        "id": frame.id,
        "image": _stored(frame.image),
        "points": np.asarray(frame.points, np.float32),
        "roi": np.asarray(frame.roi, np.float32),
        "labelled": frame.labelled,
        "height": frame.height,
        "width": frame.width,
    }


def _stored(image: pathlib.Path | bytes) -> bytes:
    """The file's own bytes, or a PNG where TFDS's decoder would not know the format."""
    if isinstance(image, bytes):
        return image
    if image.suffix.lower() in _STORED_AS_IS:
        return image.read_bytes()
    return images.encode_image(images.read_image(image), ".png")


def check(frame: RawImage) -> RawImage:
    """The frame with its size, and its points inside it. Raises InputError for an image that cannot be read."""
    height, width = images.read_image(
        frame.image, name=frame.id if isinstance(frame.image, bytes) else ""
    ).shape[:2]
    points, moved = clamp(frame.points, height, width, name=frame.id)
    return dataclasses.replace(frame, points=points, height=height, width=width, moved=moved)


def check_all(frames: Sequence[RawImage]) -> tuple[list[RawImage], list[str]]:
    """`check` on every frame, on all cores: the good ones, and what is wrong with the others, a line each."""
    with futures.ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        results = list(pool.map(_check_or_error, frames))
    good = [result for result in results if isinstance(result, RawImage)]
    return good, _duplicates(good) + [str(result) for result in results if isinstance(result, InputError)]


def _check_or_error(frame: RawImage) -> RawImage | InputError:
    try:
        return check(frame)
    except InputError as error:
        return error


def _duplicates(frames: Sequence[RawImage]) -> list[str]:
    problems, seen = [], set()
    for frame in frames:
        if frame.id in seen:
            problems.append(f"{frame.image}: a second image would be called {frame.id!r}; rename one of them")
        seen.add(frame.id)
    return problems


def paired(
    pictures: Mapping[str, pathlib.Path],
    truths: Mapping[str, pathlib.Path],
    make: Callable[[str, pathlib.Path, pathlib.Path], RawImage],
) -> tuple[list[RawImage], list[str]]:
    """`make(key, picture, truth)` for every key, in the pictures' order, and what is wrong with the files, a line each.

    Args:
      pictures, truths: the image and the label file of each key; one without the other is a problem.
      make: may raise InputError, which is a problem of that file alone.
    """
    frames, problems = [], []
    for key, picture in pictures.items():
        if key not in truths:
            problems.append(f"{picture}: its label is missing")
            continue
        try:
            frames.append(make(key, picture, truths[key]))
        except InputError as error:
            problems.append(str(error))
    return frames, problems + [
        f"{truth}: label without its image" for key, truth in truths.items() if key not in pictures
    ]


def clamp(
    points: Float32[np.ndarray, "N 2"], height: int, width: int, *, name: str = ""
) -> tuple[Float32[np.ndarray, "N 2"], int]:
    """Points outside `0 <= x < width, 0 <= y < height` moved to the nearest pixel, and how many there were.

    Raises InputError for coordinates that are no numbers.
    """
    points = np.asarray(points, np.float32).reshape(-1, 2)
    if not np.isfinite(points).all():
        raise InputError(f"{name}: a head point is not a number")
    outside = ((points < 0) | (points >= (width, height))).any(axis=1)
    inside = np.clip(points, 0, np.array([width - 1, height - 1], np.float32))
    return np.where(outside[:, None], inside, points), int(outside.sum())


def summary(raw: Raw) -> dict:
    """What `metadata.json` keeps: totals by split, notes, and a fingerprint of the raw files."""
    splits = {
        split: {
            "images": len(frames),
            "points": int(sum(len(frame.points) for frame in frames)),
            "moved": int(sum(frame.moved for frame in frames)),
            "unlabelled": int(sum(not frame.labelled for frame in frames)),
        }
        for split, frames in raw.splits.items()
    }
    known = {"splits": splits, "notes": list(raw.notes), "fingerprint": raw.digest or fingerprint(raw)}
    scenes = {split: [list(frame.scene) for frame in frames] for split, frames in raw.splits.items()}
    return {**known, "scenes": scenes} if any(any(rows) for rows in scenes.values()) else known


def fingerprint(raw: Raw) -> str:
    """A digest of ids, file sizes and points: tells raw folders apart without reading the images."""
    digest = hashlib.sha256()
    for split, frames in sorted(raw.splits.items()):
        for frame in sorted(frames, key=lambda frame: frame.id):
            size = len(frame.image) if isinstance(frame.image, bytes) else frame.image.stat().st_size
            digest.update(f"{split}\n{frame.id}\n{size}\n{frame.labelled}\n".encode())
            digest.update(np.asarray(frame.points, "<f4").tobytes() + np.asarray(frame.roi, "<f4").tobytes())
    return digest.hexdigest()


def folder_of(manual_dir: pathlib.Path, unpacked: Sequence[str], holds: Sequence[str]) -> pathlib.Path:
    """`manual_dir`, or the folder in it that the download unpacks to: the first that holds one of `holds`.

    Args:
      unpacked: names of that folder; authors and mirrors spell them differently.
      holds: files or folders by which the dataset is known.
    Raises ConfigError saying what was looked for.
    """
    for folder in (manual_dir, *(manual_dir / name for name in unpacked)):
        if any((folder / name).exists() for name in holds):
            return folder
    raise ConfigError(
        f"--manual_dir={manual_dir}: holds no {' or '.join(holds)}; is it the dataset's folder?"
    )


def absent(path: pathlib.Path, split: str) -> str:
    """The note on a split that a copy does not hold: the others are built all the same."""
    return f"{path} is not there: the split {split!r} is left out and cannot be used"


def some(names: Sequence[str], limit: int = 3, between: str = ", ") -> str:
    """The first few names and how many more there are, for a line that a person reads."""
    return between.join(names[:limit]) + (f" and {len(names) - limit} more" if len(names) > limit else "")


def missing(what: str, found: Collection[str], expected: list[str]) -> list[str]:
    """A note naming the expected files that are not among `found`, and one naming those that nobody expects."""
    lost = [name for name in expected if name not in found]
    extra = [name for name in found if name not in set(expected)]
    notes = (
        [f"{what}: {len(lost)} of {len(expected)} images are not there: {_runs(lost, expected)}"]
        if lost
        else []
    )
    return notes + (
        [f"{what}: {len(extra)} images are not in the published set: {', '.join(extra)}"] if extra else []
    )


def _runs(names: list[str], order: list[str]) -> str:
    """Names with neighbours in `order` joined: "IMG_3 - IMG_7, IMG_9"."""
    at = {name: i for i, name in enumerate(order)}
    runs: list[list[str]] = []
    for name in names:
        if runs and at[name] == at[runs[-1][-1]] + 1:
            runs[-1].append(name)
        else:
            runs.append([name])
    return ", ".join(run[0] if len(run) == 1 else f"{run[0]} - {run[-1]}" for run in runs)


def is_prepared(builder: CrowdDatasetBuilder) -> bool:
    """Whether the builder's version of the dataset is on disk (it appears there in one step, whole)."""
    return (pathlib.Path(builder.data_path) / "dataset_info.json").is_file()


def read_summary(builder: CrowdDatasetBuilder) -> dict:
    """What `summary` gave when the dataset was written. Raises ConfigError if that file is missing or damaged."""
    path = pathlib.Path(builder.data_path) / "metadata.json"
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"{path}: unreadable ({error}); prepare the dataset again with --overwrite"
        ) from error


def write(
    make: Callable[[str], CrowdDatasetBuilder], data_dir: pathlib.Path, *, overwrite: bool = False
) -> bool:
    """Builds a dataset so that it is there whole or not at all; whether this call wrote it.

    It is built in a hidden folder beside its place and renamed at the end; of two processes one builds and the
    other waits. What a killed process left behind is removed by the next.

    Args:
      make: a data_dir to the builder that writes into it.
      data_dir: where the dataset goes.
      overwrite: build again what is already there; the old one stays until the new one is whole.
    """
    tfds.disable_progress_bar()
    builder = make(str(data_dir))
    final = pathlib.Path(builder.data_path)
    slug = "-".join(final.relative_to(data_dir).parts[:-1])
    with files.lock(pathlib.Path(data_dir), slug):
        if final.is_dir() and not overwrite:
            return False
        staging = pathlib.Path(data_dir) / f".{slug}.incomplete"
        shutil.rmtree(staging, ignore_errors=True)
        try:
            built = make(str(staging))
            config = tfds.download.DownloadConfig(manual_dir=staging, try_download_gcs=False)
            with contextlib.redirect_stdout(io.StringIO()):  # TFDS announces the staging folder
                built.download_and_prepare(download_config=config)
            _swap(pathlib.Path(built.data_path), final, staging / "old")
        finally:
            shutil.rmtree(staging, ignore_errors=True)
    return True


def _swap(new: pathlib.Path, final: pathlib.Path, old: pathlib.Path) -> None:
    """Puts `new` in the place of `final`."""
    final.parent.mkdir(parents=True, exist_ok=True)
    if final.exists():
        os.rename(final, old)
    os.rename(new, final)
