"""`predict` and the frames of videos, with a fake counter."""

import csv
import dataclasses
import json

import cv2
import numpy as np
import programs
import pytest
from conftest import ROOT

from cc_jax.counting import files
from cc_jax.data import images, video
from cc_jax.errors import ConfigError, InputError


@dataclasses.dataclass(frozen=True)
class FakeCount:
    count: float
    low: float
    high: float
    interval_kind: str
    std: float
    density: np.ndarray
    untrusted: np.ndarray
    untrusted_share: float
    p_typical: float | None
    unusual: bool
    warnings: list


class FakeCounter:
    """Counts an image's mean brightness."""

    interval_level = 0.9

    def count(self, image):
        assert image.dtype == np.uint8 and image.ndim == 3
        value = float(image.mean())
        rows, columns = (-(-side // 8) for side in image.shape[:2])
        density = np.full((rows, columns), value / (rows * columns), np.float32)
        grey = ["the image is grey"] if np.ptp(image, axis=2).max() == 0 else []
        untrusted = np.arange(columns) < np.zeros((rows, 1)) + 2
        return FakeCount(
            value, 0.9 * value, 1.1 * value, "counts", value / 20, density, untrusted, 0.25, 0.5, False, grey
        )


@pytest.fixture
def photos(tmp_path):
    folder = tmp_path / "photos"
    (folder / "day 2").mkdir(parents=True)
    image = np.full((40, 56, 3), (200, 100, 30), np.uint8)
    for name in ("a.png", "a.jpg", "day 2/a.png"):
        (folder / name).write_bytes(images.encode_image(image, name[-4:]))
    (folder / "grey.png").write_bytes(images.encode_image(np.full((40, 56, 1), 90, np.uint8), ".png"))
    (folder / "broken.jpg").write_bytes(b"<html>not an image</html>")
    (folder / "cut.jpg").write_bytes((folder / "a.jpg").read_bytes()[:400])
    (folder / "notes.txt").write_text("no image")
    return folder


def run(folder, output, **options):
    items = files.read(files.find(folder, output), folder, 1.0)
    return files.predict(FakeCounter(), items, output, **options)


@pytest.mark.parametrize(
    "kind, asked, unusual, words",
    [
        ("counts", False, False, "a.jpg: 110 (99-121, counts)"),
        ("domains", False, False, "a.jpg: 110 (99-121, domains)"),
        ("domains", False, True, "a.jpg: 110 (99-121, domains), unusual image"),
        ("members", False, False, "a.jpg: 110 (no interval)"),
        ("members", True, False, "a.jpg: 110 (99-121, members)"),
    ],
)
def test_an_interval_that_promises_nothing_is_shown_only_if_asked_for(
    kind, asked, unusual, words, photos, tmp_path, capsys, monkeypatch
):
    """In print and on the overlay. The files have it in any case, and say what it is."""

    class OfKind(FakeCounter):
        def count(self, image):
            return dataclasses.replace(super().count(image), interval_kind=kind, unusual=unusual)

    drawn = []
    overlay = files.overlays.overlay
    monkeypatch.setattr(files.overlays, "overlay", lambda *args: drawn.append(args[2]) or overlay(*args))
    items = files.read([photos / "a.jpg"], photos, 1.0)
    files.predict(OfKind(), items, tmp_path / "out", member_intervals=asked)
    assert words in capsys.readouterr().out.splitlines()
    assert drawn == [words.removeprefix("a.jpg: ")]
    (row,) = json.loads((tmp_path / "out" / "counts.json").read_text())["counts"]
    assert (row["interval_kind"], row["unusual"]) == (kind, unusual)
    assert row["low"] < row["count"] < row["high"]


def test_folder(photos, tmp_path, capsys):
    output = tmp_path / "out"
    unreadable = run(photos, output, about={"command": "x"})
    assert {u["id"] for u in unreadable} == {"broken.jpg", "cut.jpg"}
    said = capsys.readouterr().err.strip().splitlines()
    assert len(said) == 2 and "broken.jpg" in said[0] and "cut.jpg" in said[1]
    with open(output / "counts.csv", newline="") as file:
        rows = {row["id"]: row for row in csv.DictReader(file)}
    assert set(rows) == {"a.png", "a.jpg", "grey.png", "day 2/a.png"}
    assert float(rows["a.png"]["count"]) == pytest.approx(110) and float(
        rows["grey.png"]["low"]
    ) == pytest.approx(81)
    assert {row["interval_kind"] for row in rows.values()} == {"counts"}
    assert rows["grey.png"]["warnings"] == "the image is grey" and rows["a.png"]["warnings"] == ""
    told = json.loads((output / "counts.json").read_text())
    assert all(row["untrusted_share"] == 0.25 for row in told["counts"])
    assert all(row["p_typical"] == "0.5" for row in rows.values())
    assert told["command"] == "x" and told["interval_level"] == 0.9 and told["unreadable"] == unreadable
    assert {row["id"]: row["count"] for row in told["counts"]} == {
        k: float(v["count"]) for k, v in rows.items()
    }


def test_every_image_has_an_overlay_of_its_own(photos, tmp_path):
    run(photos, tmp_path / "out")
    written = sorted(
        p.relative_to(tmp_path / "out/overlays").as_posix() for p in tmp_path.rglob("overlays/**/*.jpg")
    )
    assert written == ["a.jpg", "a.png.jpg", "day 2/a.jpg", "grey.jpg"]
    assert images.read_image(tmp_path / "out/overlays/a.jpg").shape == (40, 56, 3)


def test_names_stay_apart_whatever_their_case():
    taken = set()
    items = [
        files.Item(i, o, np.zeros((1, 1, 3), np.uint8))
        for i, o in (("A.png", "A"), ("a.jpg", "a"), ("a.png", "a"), ("A.PNG", "A"))
    ]
    names = [files.free_name(item, taken) for item in items]
    assert names == ["A", "a.jpg", "a.png", "A.PNG-2"]
    assert len({name.casefold() for name in names}) == 4


def test_without_overlays(photos, tmp_path):
    run(photos, tmp_path / "out", with_overlays=False)
    assert not (tmp_path / "out" / "overlays").exists()


def test_results_inside_the_input_are_not_counted_again(photos):
    first = run(photos, photos / "out")
    assert run(photos, photos / "out") == first
    assert len(json.loads((photos / "out" / "counts.json").read_text())["counts"]) == 4
    assert {p.name for p in files.find(photos, photos) if "overlays" in p.parts} == {
        "a.jpg",
        "a.png.jpg",
        "grey.jpg",
    }
    run(photos, photos)
    assert not any(p.parent == photos / "overlays" for p in files.find(photos, photos))


def test_rows_before_a_crash_are_whole(photos, tmp_path):
    class Dies(FakeCounter):
        left = 2

        def count(self, image):
            self.left -= 1
            if self.left < 0:
                raise MemoryError
            return super().count(image)

    items = files.read(files.find(photos, tmp_path / "out"), photos, 1.0)
    with pytest.raises(MemoryError):
        files.predict(Dies(), items, tmp_path / "out")
    lines = (tmp_path / "out" / "counts.csv").read_text().splitlines()
    assert len(lines) == 3 and all(line.count(",") == 7 for line in lines)


def test_what_is_not_there(tmp_path):
    with pytest.raises(ConfigError, match="no such file"):
        files.find(tmp_path / "none", tmp_path / "out")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ConfigError, match="has no image"):
        files.find(tmp_path / "empty", tmp_path / "out")


def test_a_file_that_is_no_image(tmp_path):
    (tmp_path / "x.dat").write_bytes(b"nothing")
    items = list(files.read(files.find(tmp_path / "x.dat", tmp_path / "out"), tmp_path, 1.0))
    assert len(items) == 1 and isinstance(items[0].image, InputError)


def write_video(path, seconds=4, rate=10, code="mp4v"):
    """Write a clip whose frame i is uniformly grey, with the value 5 i mod 250."""
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*code), rate, (64, 48))
    assert writer.isOpened()
    for i in range(seconds * rate):
        writer.write(np.full((48, 64, 3), 5 * i % 250, np.uint8))
    writer.release()
    return path


def number(frame):
    """Return the number of a frame of `write_video`, which the codecs darken by up to 3."""
    return round((frame.image.mean() + 2) / 5)


@pytest.mark.parametrize("name, code", [("clip.mp4", "mp4v"), ("clip.avi", "MJPG")])
def test_video_frames(tmp_path, name, code):
    frames = list(video.frames(write_video(tmp_path / name, code=code), every_s=1.0))
    assert [f.seconds for f in frames] == pytest.approx([0, 1, 2, 3], abs=1e-3)
    assert [number(f) for f in frames] == [0, 10, 20, 30]
    assert frames[0].image.shape == (48, 64, 3)
    every = list(video.frames(tmp_path / name, every_s=0))
    assert [number(f) for f in every] == list(range(40))
    assert len(list(video.frames(tmp_path / name, every_s=0.25))) == 16  # 0, .3, .5, .8, 1, 1.3, ...


def test_video_is_counted_like_a_folder(tmp_path):
    clip = write_video(tmp_path / "clip.mp4")
    items = files.read(files.find(clip, tmp_path / "out"), tmp_path, 2.0)
    assert files.predict(FakeCounter(), items, tmp_path / "out") == []
    rows = json.loads((tmp_path / "out" / "counts.json").read_text())["counts"]
    assert [row["id"] for row in rows] == ["clip.mp4@0.000s", "clip.mp4@2.000s"]
    assert (tmp_path / "out/overlays/clip.mp4@2.000s.jpg").is_file()


def test_video_that_is_none_or_cut(tmp_path):
    clip = write_video(tmp_path / "clip.avi", seconds=10, code="MJPG")
    data = clip.read_bytes()
    (tmp_path / "cut.avi").write_bytes(data[: len(data) // 2])
    (tmp_path / "none.mp4").write_bytes(b"<html>")
    for name in ("cut.avi", "none.mp4", "missing.mp4"):
        with pytest.raises(InputError, match=name):
            list(video.frames(tmp_path / name))
    with pytest.raises(ConfigError, match="every_s"):
        list(video.frames(clip, every_s=-1))


def test_rotation_of_a_phone_is_applied(tmp_path):
    """The video track has a display matrix of 90 degrees, as phones write it when held upright."""
    clip = write_video(tmp_path / "clip.mp4", seconds=1)
    data = bytearray(clip.read_bytes())
    unit, at = (1 << 16).to_bytes(4, "big"), data.index(b"tkhd")
    upright = unit + bytes(12) + unit + bytes(12) + (1 << 30).to_bytes(4, "big")
    start = data.index(upright, at)
    minus = (-(1 << 16)).to_bytes(4, "big", signed=True)
    turned = bytes(4) + unit + bytes(4) + minus + bytes(4) + bytes(12) + (1 << 30).to_bytes(4, "big")
    assert len(turned) == len(upright)
    data[start : start + len(upright)] = turned
    (tmp_path / "phone.mp4").write_bytes(data)
    assert next(video.frames(tmp_path / "phone.mp4")).image.shape == (64, 48, 3)


@pytest.mark.parametrize(
    "flags, code, word",
    [
        (["--input=none"], 2, "output"),
        (["--workdir=w", "--input=none", "--output=o"], 2, "none"),
        (["--workdir=w", "--input=.", "--output=o"], 2, "no image"),
        (["--workdir=w", "--input=a.png", "--output=o"], 4, "w"),
    ],
)
def test_exit_codes(tmp_path, flags, code, word):
    if code == 4:
        (tmp_path / "a.png").write_bytes(images.encode_image(np.zeros((8, 8, 3), np.uint8), ".png"))
    command = ["-m", "cc_jax.predict", *flags]
    env = {"PYTHONPATH": str(ROOT), "JAX_PLATFORMS": "cpu", "PATH": "/usr/bin:/bin", "HOME": str(tmp_path)}
    found = programs.run(command, cwd=tmp_path, env=env)
    assert found.returncode == code, found.stderr
    assert word in found.stderr and "Traceback" not in found.stderr and len(found.stderr.splitlines()) == 1


def test_real_images(real_data, tmp_path):
    """An overlay has the size of its photograph and differs from it."""
    path = next(iter(images.list_images(real_data / "shanghaitech" / "part_A" / "test_data" / "images")))
    items = files.read([path], path.parent, 1.0)
    assert files.predict(FakeCounter(), items, tmp_path) == []
    before, after = images.read_image(path), images.read_image(next((tmp_path / "overlays").iterdir()))
    assert before.shape == after.shape and np.abs(before.astype(int) - after).mean() > 5
