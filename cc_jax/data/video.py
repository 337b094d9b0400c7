"""Frames of a video file, upright, one every so many seconds."""

import math
import os
import pathlib
from collections.abc import Iterator
from typing import NamedTuple

# FFmpeg's own words go to the terminal past us; what is wrong is said in our errors.
os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")

import cv2  # noqa: E402
import numpy as np  # noqa: E402
from jaxtyping import UInt8  # noqa: E402

from cc_jax.errors import ConfigError, InputError  # noqa: E402

VIDEO_SUFFIXES = (".mp4", ".mov", ".m4v", ".avi", ".mkv", ".webm", ".mpg", ".mpeg")


class VideoFrame(NamedTuple):
    """A frame: its time from the start in seconds, and uint8 [H, W, 3] RGB."""

    seconds: float
    image: UInt8[np.ndarray, "H W 3"]


def is_video(path: str | pathlib.Path) -> bool:
    """Whether the file's name says that it is a video."""
    return pathlib.Path(path).suffix.lower() in VIDEO_SUFFIXES


def list_videos(folder: str | pathlib.Path) -> list[pathlib.Path]:
    """Video files under `folder`, known by their suffix, sorted; no hidden ones."""
    folder = pathlib.Path(folder)
    inside = sorted(
        path.relative_to(folder) for path in folder.rglob("*") if is_video(path) and path.is_file()
    )
    return [folder / path for path in inside if not any(part.startswith(".") for part in path.parts)]


def frames(path: str | pathlib.Path, *, every_s: float = 1.0) -> Iterator[VideoFrame]:
    """The first frame and then one every `every_s` seconds; 0 gives every frame.

    Times are the file's own, so a variable frame rate does not matter; a phone's rotation is applied. Frames in
    between are not converted, but they must be decoded: video frames build on each other.

    Raises:
      ConfigError: `every_s` is negative or not a number.
      InputError: the file is no video, or it ends before the duration that its header states (after the frames
        that could be read).
    """
    if not (math.isfinite(every_s) and every_s >= 0):
        raise ConfigError(f"--every_s={every_s}: must be 0 (every frame) or a number of seconds")
    if not pathlib.Path(path).is_file():  # FFmpeg would take the name for an address
        raise InputError(f"{path}: is not a file")
    capture = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG)
    try:
        if not capture.isOpened():
            raise InputError(f"{path}: cannot be opened as a video; it is damaged or of an unknown kind")
        capture.set(cv2.CAP_PROP_ORIENTATION_AUTO, 1)
        yield from _frames(capture, pathlib.Path(path), every_s)
    finally:
        capture.release()


def _frames(capture: cv2.VideoCapture, path: pathlib.Path, every_s: float) -> Iterator[VideoFrame]:
    seconds, wanted = -1.0, 0.0
    while capture.grab():
        seconds = capture.get(cv2.CAP_PROP_POS_MSEC) / 1000
        if seconds < wanted - 1e-4:  # a frame due at 1 s can be stamped 0.99999
            continue
        decoded, bgr = capture.retrieve()
        if not decoded:
            break
        yield VideoFrame(seconds, np.ascontiguousarray(bgr[..., ::-1]))
        wanted = max(wanted + every_s, seconds - seconds % every_s + every_s) if every_s else 0.0
    _check_end(capture, path, seconds)


def _check_end(capture: cv2.VideoCapture, path: pathlib.Path, last: float) -> None:
    """Raises InputError where the frames end well before the stated duration (5 % and a second of grace)."""
    if last < 0:
        raise InputError(f"{path}: holds no frame that can be decoded; it is damaged")
    rate, count = capture.get(cv2.CAP_PROP_FPS), capture.get(cv2.CAP_PROP_FRAME_COUNT)
    stated = count / rate if rate > 0 and count > 0 else 0.0  # some containers do not state it
    if last + max(1.0, 0.05 * stated) < stated:
        raise InputError(f"{path}: ends after {last:.1f} of {stated:.1f} seconds; it is cut short or damaged")
