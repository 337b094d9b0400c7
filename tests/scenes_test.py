"""Procedural scenes: determined by their seed, with points at the heads, without hidden heads."""

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cc_jax.data import scenes
from cc_jax.data.builders import synthetic
from cc_jax.data.scenes import clutter, crowd, looks, optics, people
from cc_jax.data.scenes.canvas import Camera, Canvas, noise


def make_camera(**changes):
    return Camera(
        **{"height": 5.0, "tilt": 0.3, "roll": 0.02, "focal": 700.0, "rows": 512, "columns": 768, **changes}
    )


def make_person(x=0.0, z=10.0, facing=np.pi, domain="source", **changes):
    look = looks.draw_look(domain, np.random.default_rng(0))
    (person,) = people.make_people(np.random.default_rng(1), np.array([[x, z, facing]]), look)
    return people.dataclasses.replace(person, hat=None, umbrella=None, **changes)


def draw(camera, persons):
    """Return a canvas with the persons drawn in order and numbered from 1."""
    canvas = Canvas(np.full((camera.rows, camera.columns, 3), 128, np.uint8), np.zeros(3), 1e9)
    look = looks.draw_look("source", np.random.default_rng(0))
    for number, (person, axes) in enumerate(zip(persons, people.axes_of(persons, camera), strict=True), 1):
        people.draw_person(canvas, axes, person, look, number)
    return canvas


@pytest.mark.parametrize("domain", scenes.DOMAINS)
def test_a_scene_is_a_function_of_its_seed(domain):
    one, again = (
        scenes.render(domain, 3, 7, height=96, width=144),
        scenes.render(domain, 3, 7, height=96, width=144),
    )
    np.testing.assert_array_equal(one.image, again.image)
    np.testing.assert_array_equal(one.points, again.points)
    others = [
        scenes.render(domain, 3, 8, height=96, width=144),
        scenes.render(domain, 4, 7, height=96, width=144),
    ]
    assert all((other.image != one.image).any() for other in others)


def test_a_scene_does_not_depend_on_numpys_global_generator_or_on_threads():
    np.random.seed(0)
    one = scenes.render("target", 0, 0, height=96, width=144)
    np.random.seed(1)
    threads = cv2.getNumThreads()
    try:
        cv2.setNumThreads(1)
        np.testing.assert_array_equal(scenes.render("target", 0, 0, height=96, width=144).image, one.image)
    finally:
        cv2.setNumThreads(threads)


@settings(max_examples=12, deadline=None)
@given(
    st.sampled_from(scenes.DOMAINS), st.integers(0, 2**31), st.sampled_from([(64, 96), (90, 61), (128, 128)])
)
def test_points_are_inside_the_frame_and_distinct(domain, seed, size):
    scene = scenes.render(domain, seed, 0, height=size[0], width=size[1])
    assert scene.image.shape == (*size, 3) and scene.image.dtype == np.uint8
    assert scene.points.dtype == np.float32 and scene.points.shape[1] == 2
    assert (scene.points >= 0).all() and (scene.points < (size[1], size[0])).all()
    assert len(np.unique(scene.points, axis=0)) == len(scene.points)


def test_counts_of_the_domains_overlap_and_vary():
    counts = {
        d: [len(scenes.render(d, 5, i, height=128, width=192).points) for i in range(24)]
        for d in scenes.DOMAINS
    }
    for values in counts.values():
        assert min(values) >= 1 and max(values) > 100 and np.percentile(values, 25) < 60
    low, high = sorted(np.mean(values) for values in counts.values())
    assert high < 2 * low


def test_an_unknown_domain_is_refused():
    with pytest.raises(ValueError, match="source.*target"):
        scenes.render("real", 0, 0)


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


@pytest.mark.parametrize("z", [5.0, 10.0, 25.0])
@pytest.mark.parametrize("x", [-1.5, 0.0, 2.0])
def test_a_heads_point_is_the_middle_of_the_pixels_drawn_as_head(x, z):
    camera, person = make_camera(), make_person(x, z, long_hair=False)
    canvas = draw(camera, [person])
    v, u = np.nonzero(canvas.heads == 1)
    (head,), depth = camera.project(people.head_positions([person]))
    radius = people.HEAD * camera.focal / depth[0]
    np.testing.assert_allclose([u.mean() + 0.5, v.mean() + 0.5], head, atol=0.5 + 0.05 * radius)
    np.testing.assert_allclose(len(u), np.pi * 1.1 * (radius + 0.3) ** 2, rtol=0.2)


def test_heads_are_above_feet():
    """People are upright, so an image that is upside down looks wrong."""
    camera = make_camera()
    (axes,) = people.axes_of([make_person()], camera)
    (head,), _ = camera.project(people.head_positions([make_person()]))
    assert head[1] < axes.foot[1] - 20


def test_only_visible_heads_count():
    camera = make_camera(height=1.6, tilt=0.0, roll=0.0)
    behind, before = make_person(0.0, 14.0, height=1.6), make_person(0.0, 4.0, height=1.95)
    aside = make_person(2.5, 14.0, height=1.6)
    persons = [behind, aside, before]  # far to near
    points = scenes._visible_heads(draw(camera, persons), camera, persons)
    heads, _ = camera.project(people.head_positions(persons))
    np.testing.assert_allclose(points, heads[[1, 2]] / 2, atol=1e-3)


def test_people_keep_their_distance_and_stay_in_the_frame():
    camera, rng = make_camera(), np.random.default_rng(0)
    for _ in range(5):
        spots = crowd.arrange(rng, camera, 120, 15.0, 6.0, 40.0)
        offset = np.linalg.norm(spots[:, None, :2] - spots[None, :, :2], axis=-1) + 1e9 * np.eye(len(spots))
        assert 20 < len(spots) <= 120 and offset.min() > 0.42
        assert (np.abs(spots[:, 0]) < 15).all() and (spots[:, 1] > 6).all() and (spots[:, 1] < 40).all()
        heads, _ = camera.project(np.column_stack([spots[:, 0], np.full(len(spots), 1.6), spots[:, 1]]))
        assert (heads >= 0).all() and (heads < (768, 512)).all()


def test_noise_tiles_and_is_normalised():
    texture = noise(np.random.default_rng(0), 128, 32)
    assert abs(texture.mean()) < 1e-4 and texture.std() == pytest.approx(1, abs=1e-3)
    inside = np.abs(np.diff(texture, axis=0)).mean()
    assert np.abs(texture[0] - texture[-1]).mean() < 2 * inside


def test_the_target_looks_unlike_the_source():
    """Renders have areas of one color, images of the target domain have none."""

    def share_of_flat_pixels(domain):
        images = [scenes.render(domain, 1, i, height=128, width=192).image.astype(int) for i in range(8)]
        return np.mean([(np.abs(np.diff(image, axis=1)).max(axis=2) == 0).mean() for image in images])

    assert share_of_flat_pixels("source") > 0.2 > share_of_flat_pixels("target")


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
