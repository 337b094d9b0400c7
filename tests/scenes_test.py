"""Looks of composed crowds, the camera, and images without people: determined by their seed, and as they are described."""

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kept_scenes import drawn

from cc_jax.data.builders import synthetic
from cc_jax.data.scenes import clutter, crowds, optics, photographs
from cc_jax.data.scenes.canvas import Camera, noise

PAIR = ("source", "target")


def make_camera(**changes):
    return Camera(
        **{"height": 5.0, "tilt": 0.3, "roll": 0.02, "focal": 700.0, "rows": 512, "columns": 768, **changes}
    )


@pytest.mark.parametrize("look", PAIR)
def test_a_scene_is_a_function_of_its_seed(look):
    one, again = (crowds.render(3, 7, look=look, height=96, width=144) for _ in range(2))
    np.testing.assert_array_equal(one.image, again.image)
    np.testing.assert_array_equal(one.points, again.points)
    others = [
        crowds.render(3, 8, look=look, height=96, width=144),
        crowds.render(4, 7, look=look, height=96, width=144),
    ]
    assert all((other.image != one.image).any() for other in others)


def test_a_scene_does_not_depend_on_numpys_global_generator_or_on_threads():
    np.random.seed(0)
    one = crowds.render(0, 0, look="target", height=96, width=144)
    np.random.seed(1)
    threads = cv2.getNumThreads()
    try:
        cv2.setNumThreads(1)
        again = crowds.render(0, 0, look="target", height=96, width=144)
        np.testing.assert_array_equal(again.image, one.image)
    finally:
        cv2.setNumThreads(threads)


@settings(max_examples=12, deadline=None)
@given(st.sampled_from(PAIR), st.integers(0, 2**31), st.sampled_from([(64, 96), (90, 61), (128, 128)]))
def test_points_are_inside_the_frame_and_distinct(look, seed, size):
    scene = crowds.render(seed, 0, look=look, height=size[0], width=size[1])
    assert scene.image.shape == (*size, 3) and scene.image.dtype == np.uint8
    assert scene.points.dtype == np.float32 and scene.points.shape[1] == 2
    assert (scene.points >= 0).all() and (scene.points < (size[1], size[0])).all()
    assert len(np.unique(scene.points, axis=0)) == len(scene.points)


@pytest.fixture(scope="module")
def pair():
    return {look: drawn(64, 6, look=look, height=128, width=192) for look in PAIR}


def test_the_pair_shows_about_as_many_people(pair):
    """What differs is the look: a counter that is right about one should be about right about the other."""
    counts = {look: [len(scene.points) for scene in scenes] for look, scenes in pair.items()}
    for values in counts.values():
        assert max(values) > 80 and np.percentile(values, 25) < 40 and max(values) < 400
    low, high = sorted(np.mean(values) for values in counts.values())
    assert low > 15 and high < 2 * low


def test_an_unknown_look_is_refused():
    with pytest.raises(ValueError, match="any, source, target"):
        crowds.render(0, 0, look="real")


def test_heads_grow_with_the_image():
    """Else the images of a test, which are small, would show hundreds where those of the demo show ten."""
    small, large = (
        [len(crowds.render(0, i, look="source", height=h, width=h).points) for i in range(8)]
        for h in (96, 192)
    )
    assert 0.5 < np.mean(small) / np.mean(large) < 1.3


def test_a_projected_point_is_where_a_textbook_camera_puts_it():
    """Compares with rotation matrices and homogeneous coordinates."""
    camera, world = make_camera(), np.array([[1.5, 1.7, 12.0], [-2.0, 0.0, 30.0]])
    c, s, cr, sr = np.cos(camera.tilt), np.sin(camera.tilt), np.cos(camera.roll), np.sin(camera.roll)
    flip = np.diag([1.0, -1.0, 1.0])  # y points down
    pitch = np.array([[1, 0, 0], [0, c, -s], [0, s, c]])
    roll = np.array([[cr, -sr, 0], [sr, cr, 0], [0, 0, 1]])
    intrinsics = np.array(
        [[camera.focal, 0, camera.columns / 2], [0, camera.focal, camera.rows / 2], [0, 0, 1]]
    )
    homogeneous = (world - (0, camera.height, 0)) @ (intrinsics @ roll @ pitch @ flip).T
    uv, depth = camera.project(world)
    np.testing.assert_allclose(uv, homogeneous[:, :2] / homogeneous[:, 2:], rtol=1e-9)
    np.testing.assert_allclose(depth, homogeneous[:, 2], rtol=1e-9)


def test_the_ground_projects_back_to_the_pixel_it_was_seen_in():
    camera = make_camera()
    x, z, depth = camera.ground(8)
    seen = np.isfinite(depth) & (depth < 200)
    uv, back = camera.project(np.stack([x[seen], 0 * x[seen], z[seen]], axis=1).astype(float))
    rows, columns = np.nonzero(seen)
    np.testing.assert_allclose(uv, np.stack([columns * 8 + 4, rows * 8 + 4], axis=1), atol=0.5)
    np.testing.assert_allclose(back, depth[seen], rtol=1e-3)
    assert not np.isfinite(make_camera(tilt=0.0, roll=0.0).ground(8)[2][0]).any()  # sky above the horizon


def test_noise_tiles_and_is_normalised():
    texture = noise(np.random.default_rng(0), 128, 32)
    assert abs(texture.mean()) < 1e-4 and texture.std() == pytest.approx(1, abs=1e-3)
    inside = np.abs(np.diff(texture, axis=0)).mean()
    assert np.abs(texture[0] - texture[-1]).mean() < 2 * inside


def test_the_target_has_the_blur_of_a_photograph(pair):
    """Its steps from one pixel to the next are smaller, compared with what its scenes show over longer distances."""

    def sharpness(scenes):
        images = [cv2.cvtColor(scene.image, cv2.COLOR_RGB2GRAY).astype(float) for scene in scenes]
        return np.median([np.abs(np.diff(one, axis=1)).mean() / one.std() for one in images])

    assert sharpness(pair["source"]) > 1.3 * sharpness(pair["target"])


@pytest.mark.parametrize("tilt", [0.1, 0.4])
def test_a_panorama_has_its_horizon_where_the_camera_has_it(tilt, monkeypatch):
    """Bright above and dark below: the border lies in the row that the camera says."""
    panorama = np.full((512, 1024, 3), 200, np.uint8)
    panorama[256:] = 50
    monkeypatch.setattr(photographs, "read", lambda name: panorama)
    camera = make_camera(tilt=tilt, roll=0.0)
    seen = photographs.around(np.random.default_rng(0), camera)
    assert seen.shape == (512, 768, 3)
    assert (seen[:, 384, 0] > 125).sum() == pytest.approx(max(camera.horizon, 0), abs=2)


def test_optics_move_nothing():
    """After blur, noise and compression, a head is still at its point."""
    image = np.zeros((96, 128, 3), np.uint8)
    cv2.circle(image, (80, 30), 6, (255, 255, 255), -1)
    for seed in range(6):
        photo = optics.photograph(np.random.default_rng(seed), image).astype(float).mean(axis=2)
        bright = np.clip(photo - np.percentile(photo, 90), 0, None)
        v, u = np.indices(photo.shape)
        window = (np.abs(u - 80) < 20) & (np.abs(v - 30) < 20)
        weight = bright * window
        middle = (u * weight).sum() / weight.sum(), (v * weight).sum() / weight.sum()
        np.testing.assert_allclose(middle, (80, 30), atol=0.7)


def test_an_image_of_clutter_is_a_function_of_its_seed():
    one, again, other = (clutter.render(0, index, height=96, width=144) for index in (5, 5, 6))
    np.testing.assert_array_equal(one, again)
    assert one.shape == (96, 144, 3) and one.dtype == np.uint8
    assert (one != other).any() and (one != clutter.render(1, 5, height=96, width=144)).any()


@pytest.mark.parametrize("name", clutter.TEXTURES)
def test_a_texture_of_clutter_fills_the_canvas_and_varies(name):
    first, second = (clutter.TEXTURES[name](np.random.default_rng(seed), 192, 256) for seed in (0, 1))
    assert first.shape == (192, 256, 3) and np.isfinite(first).all()
    assert first.std() > 3 and abs(first - second).mean() > 3


def test_one_image_of_clutter_in_eight_is_plain(monkeypatch):
    """A color or a gradient between two, before uneven light falls on it."""
    drawn, plain = [], clutter._plain
    monkeypatch.setattr(clutter, "_plain", lambda *args: drawn.append(plain(*args)) or drawn[-1])
    for index in range(100):
        clutter.render(0, index, height=48, width=72)
    assert 5 <= len(drawn) <= 22
    assert all(np.ptp(canvas, axis=1).max() == 0 for canvas in drawn)
    assert any(np.ptp(canvas) == 0 for canvas in drawn) and any(np.ptp(canvas) > 20 for canvas in drawn)


def test_clutter_is_prepared_as_images_without_people():
    (config,) = [config for config in synthetic.Builder.BUILDER_CONFIGS if config.name == "clutter"]
    raw = synthetic._draw_image(config, "test", 0)
    assert raw.points.shape == (0, 2) and raw.id == "test_00000"
    assert (raw.height, raw.width) == (512, 768)
