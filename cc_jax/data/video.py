"""Upright frames of a video file, sampled at an interval."""

import math
import os
import pathlib
from collections.abc import Iterator
from typing import NamedTuple

# FFmpeg would print its own messages to the terminal. OpenCV reads this variable when it is imported.
os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")

import cv2  # noqa: E402
import numpy as np  # noqa: E402
from jaxtyping import UInt8  # noqa: E402

from cc_jax.errors import ConfigError, InputError  # noqa: E402

VIDEO_SUFFIXES = (".mp4", ".mov", ".m4v", ".avi", ".mkv", ".webm", ".mpg", ".mpeg")


class VideoFrame(NamedTuple):
    """A frame: seconds from the start of the video, and an RGB image."""

    seconds: float
    image: UInt8[np.ndarray, "H W 3"]


def is_video(path: str | pathlib.Path) -> bool:
    """Return whether the file's suffix is that of a video."""
    return pathlib.Path(path).suffix.lower() in VIDEO_SUFFIXES


def list_videos(folder: str | pathlib.Path) -> list[pathlib.Path]:
    """Return the video files under `folder`, recognized by their suffix, sorted. Hidden files and folders are skipped."""
    folder = pathlib.Path(folder)
    inside = sorted(
        path.relative_to(folder) for path in folder.rglob("*") if is_video(path) and path.is_file()
    )
    return [folder / path for path in inside if not any(part.startswith(".") for part in path.parts)]


def frames(path: str | pathlib.Path, *, every_s: float = 1.0) -> Iterator[VideoFrame]:
    """Yield the first frame, and then one every `every_s` seconds.

    Times are those of the file, so the frame rate may vary. A rotation stored by a phone is applied. The frames in between
    are decoded, because later frames depend on them, but not converted.

    Args:
      path: The video file.
      every_s: Seconds between two frames. 0 yields every frame.

    Raises:
      ConfigError: `every_s` is negative or not a number.
      InputError: The file is not a video, or ends before the duration that its header states. This is raised after the
        frames that could be read.
    """
    if not (math.isfinite(every_s) and every_s >= 0):
        raise ConfigError(f"--every_s={every_s}: must be 0 (every frame) or a positive number of seconds")
    if not pathlib.Path(path).is_file():  # FFmpeg would take the name for a URL
        raise InputError(f"{path}: is not a file")
    capture = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG)
    try:
        if not capture.isOpened():
            raise InputError(f"{path}: cannot be opened as a video; it is damaged or of an unknown format")
        capture.set(cv2.CAP_PROP_ORIENTATION_AUTO, 1)
        yield from _frames(capture, pathlib.Path(path), every_s)
    finally:
        capture.release()


def _frames(capture: cv2.VideoCapture, path: pathlib.Path, every_s: float) -> Iterator[VideoFrame]:
    seconds, wanted = -1.0, 0.0
    while capture.grab():
        seconds = capture.get(cv2.CAP_PROP_POS_MSEC) / 1000
        if seconds < wanted - 1e-4:  # the frame at 1 s can have the time 0.99999
            continue
        decoded, bgr = capture.retrieve()
        if not decoded:
            break
        yield VideoFrame(seconds, np.ascontiguousarray(bgr[..., ::-1]))
        wanted = max(wanted + every_s, seconds - seconds % every_s + every_s) if every_s else 0.0
    _check_end(capture, path, seconds)


def _check_end(capture: cv2.VideoCapture, path: pathlib.Path, last: float) -> None:
    """Raise InputError if the frames end well before the stated duration, by more than 5 % and more than a second."""
    if last < 0:
        raise InputError(f"{path}: contains no frame that can be decoded; it is damaged")
    rate, count = capture.get(cv2.CAP_PROP_FPS), capture.get(cv2.CAP_PROP_FRAME_COUNT)
    stated = count / rate if rate > 0 and count > 0 else 0.0  # some containers do not state these
    if last + max(1.0, 0.05 * stated) < stated:
        raise InputError(f"{path}: ends after {last:.1f} of {stated:.1f} seconds; it is cut short or damaged")
