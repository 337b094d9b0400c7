"""Photographs in synthetic scenes: their files, where the horizon comes to lie, what the tool writes."""

import zipfile

import cv2
import numpy as np
import programs
import pytest

from cc_jax.data.scenes import clutter, photographs
from cc_jax.data.scenes.canvas import Camera
from cc_jax.tools import convert_photographs


def test_every_photograph_can_be_read():
    stored = {path.stem for path in photographs.FOLDER.glob("*.webp")}
    assert stored == {*photographs.panoramas(), *photographs.SURFACES}
    assert set(photographs._OPEN) <= set(photographs.panoramas()) and len(photographs.panoramas()) > 10
    for name in stored:
        image = photographs.read(name)
        assert image.dtype == np.uint8 and image.ndim == 3 and image.std() > 10
        assert image.shape[1] == (1 if name in photographs.SURFACES else 2) * image.shape[0]


def test_no_scene_shows_the_panoramas_that_are_kept_apart_or_show_people():
    assert not {*convert_photographs._KEPT_APART, *convert_photographs._PEOPLE} & set(photographs.panoramas())


def test_no_light_in_a_panorama_has_a_black_hole():
    """Compression leaves negative values beside the brightest lights."""
    for name in photographs.panoramas():
        image = photographs.read(name)
        beside_white = cv2.dilate((image.min(-1) > 245).astype(np.uint8), np.ones((3, 3)))
        assert ((image.max(-1) < 25) & (beside_white > 0)).sum() < 5, name
    linear = np.full((16, 16, 3), 0.5, np.float32)
    linear[6:10, 6:10] = 50
    linear[6, 7] = -3
    developed = convert_photographs._developed(linear)
    assert developed[6, 7].min() > 100 and (developed[12:] == developed[0, 0]).all()


@pytest.fixture
def sky_and_ground(monkeypatch):
    """All panoramas are white above the horizon and black below it."""
    image = np.zeros((256, 512, 3), np.uint8)
    image[:128] = 255
    monkeypatch.setattr(photographs, "read", lambda name: image)


@pytest.mark.parametrize("tilt", [0.0, 0.15])
@pytest.mark.parametrize("seed", range(4))
def test_the_horizon_of_a_panorama_lies_on_that_of_the_camera(sky_and_ground, tilt, seed):
    camera = Camera(3.0, tilt, 0.0, 500.0, 384, 512)
    seen = photographs.beyond(np.random.default_rng(seed), camera).mean((1, 2))
    assert abs(np.abs(seen - 127).argmin() - camera.horizon) < 8  # less than two pixels of a panorama
    assert seen[0] > 250 and (np.diff(seen) < 3).all()


def test_what_is_enlarged_keeps_its_brightness():
    rng = np.random.default_rng(0)
    views = np.array([photographs.view(rng, 64, 96).mean() for _ in range(60)])
    stored = np.array([photographs.read(name).mean() for name in photographs.panoramas()])
    assert abs(views.mean() - stored.mean()) < 15
    surface = photographs.surface(rng, 400, 1500, 1.0)
    assert surface.shape == (400, 1500, 3) and 100 < surface.mean() < 150


def test_a_quarter_of_the_clutter_is_photographs(monkeypatch):
    shown = []
    view = photographs.view
    monkeypatch.setattr(photographs, "view", lambda *args: shown.append(1) or view(*args))
    for index in range(80):
        clutter.render(0, index, height=32, width=48)
    assert 10 <= len(shown) <= 32


def test_the_tool_writes_what_a_wheel_holds(tmp_path):
    picture = np.random.default_rng(0).integers(0, 256, (8, 8, 3), np.uint8).repeat(8, 0).repeat(8, 1)
    wheel = tmp_path / "scikit_image-0.whl"
    with zipfile.ZipFile(wheel, "w") as file:
        for name in ("brick", "camera"):
            file.writestr(f"skimage/data/{name}.png", cv2.imencode(".png", picture)[1].tobytes())
    output = tmp_path / "out"
    tool = ["-m", "cc_jax.tools.convert_photographs"]
    done = programs.run([*tool, f"--source={wheel}", f"--output={output}"])
    assert done.returncode == 0, done.stderr
    assert [path.name for path in output.iterdir()] == ["surface_brick.webp"]
    written = cv2.imread(str(output / "surface_brick.webp"))
    assert np.abs(written.astype(int) - picture).mean() < 30
    missing = programs.run([*tool, f"--source={tmp_path / 'absent.whl'}"])
    assert missing.returncode == 2 and "absent.whl" in missing.stderr and "Traceback" not in missing.stderr
    assert programs.run(tool).returncode == 2
