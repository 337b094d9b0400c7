"""Decoding and resizing of examples."""

import numpy as np
import pytest
from frames_of import blobs, centroid, record_of
from hypothesis import given, settings
from hypothesis import strategies as st

from cc_jax.data import resizing
from cc_jax.data.resizing import ResizeRule
from cc_jax.errors import ConfigError, InputError


def test_fit():
    assert ResizeRule().fit((300, 400)) == (300, 400)
    assert ResizeRule(max_side=200).fit((300, 400)) == (150, 200)
    assert ResizeRule(min_side=600).fit((300, 400)) == (600, 800)
    assert ResizeRule(min_side=600, max_side=1000).fit((300, 400)) == (600, 800)
    assert ResizeRule(min_side=600, max_side=500).fit((300, 400)) == (375, 500)  # the upper bound wins
    assert ResizeRule(max_side=100).fit((3, 4000)) == (1, 100)


def test_the_published_rules_for_qnrf():
    """C-3: into 1024x1024, sides multiples of 16. Bayesian Loss: short side between 512 and 2048."""
    c3 = ResizeRule(max_side=1024, multiple=16)
    assert c3.fit((2000, 3000)) == (688, 1024) and c3.fit((3000, 2000)) == (1024, 688)
    assert c3.fit((600, 800)) == (608, 800)  # 600 is 37.5 times 16
    clamped = ResizeRule(min_side=512, max_short_side=2048)
    assert clamped.fit((4000, 5000)) == (2048, 2560)
    assert clamped.fit((300, 400)) == (512, 683)
    assert clamped.fit((1000, 9000)) == (1000, 9000)


def bounds(most):
    return st.one_of(st.just(0), st.integers(1, most))


@settings(max_examples=200, deadline=None)
@given(
    bounds(40),
    bounds(60),
    bounds(90),
    st.sampled_from([1, 8, 16]),
    st.integers(1, 4000),
    st.integers(1, 4000),
)
def test_fit_is_idempotent_and_within_bounds(min_side, max_short_side, max_side, multiple, height, width):
    """A resized image is not resized again, and no upper bound is exceeded."""
    resize_rule = ResizeRule(min_side * multiple, max_short_side * multiple, max_side * multiple, multiple)
    size = resize_rule.fit((height, width))
    assert resize_rule.fit(size) == size and size[0] % multiple == size[1] % multiple == 0
    assert not max_side or max(size) <= max_side * multiple
    assert not max_short_side or min(size) <= max_short_side * multiple


@pytest.mark.parametrize(
    "fields", [{"min_side": -1}, {"multiple": 0}, {"max_side": 1000, "multiple": 16}, {"max_short_side": -8}]
)
def test_invalid_bounds_are_refused(fields):
    with pytest.raises(ConfigError, match=r"config\.resize"):
        ResizeRule(**fields)


def test_decode():
    image = blobs([(3, 4)], 20, 30)
    record = record_of(image, [(3, 4)], [(0, 0), (15, 0), (15, 20), (0, 20)], id="a/1")
    example = resizing.decode(record)
    np.testing.assert_array_equal(example["image"], image)
    assert example["roi"][:, :15].all() and not example["roi"][:, 16:].any()
    assert example["id"] == "a/1" and example["labelled"] is True
    with pytest.raises(InputError, match="a/1"):
        resizing.decode({**record, "height": 21})
    with pytest.raises(InputError, match="a/1"):
        resizing.decode({**record, "image": record["image"][:-20]})


def test_image_points_and_roi_are_resized_together():
    # The second is outside the ROI, the last outside the image.
    points = [(150, 30), (20, 100), (199.99, 119.99), (250, 10)]
    roi = [(0, 0), (200, 0), (200, 120), (50, 120), (50, 90), (0, 90)]
    record = record_of(blobs(points[:1]), points, roi)
    example = resizing.decode(record, ResizeRule(max_side=100))
    assert example["image"].shape == (60, 100, 3) and example["roi"].shape == (60, 100)
    np.testing.assert_allclose(example["points"], [(75, 15), (100, 60), (100, 5)], atol=0.01)
    assert example["points"].max() < 100 and not example["roi"][46:, :24].any()
    assert abs(int(example["roi"].sum()) - (60 * 100 - 15 * 25)) < 50
    np.testing.assert_allclose(centroid(example["image"][..., 0].astype(float), 1), (75, 15), atol=0.1)


@pytest.mark.parametrize("size", [(480, 800), (481, 803)])
@pytest.mark.parametrize("max_side", [400, 399, 150, 64])
def test_jpegs_are_decoded_at_the_resolution_that_is_needed(size, max_side, monkeypatch):
    """The image equals the resized full image, up to the codec's own filter at edges."""
    points, read = [(200, 100), (610, 330)], []
    record = record_of(blobs(points, *size), points, suffix=".jpg")
    kept = resizing.read_image
    monkeypatch.setattr(resizing, "read_image", lambda *a, **k: read.append(kept(*a, **k)) or read[-1])
    example = resizing.decode(record, ResizeRule(max_side=max_side))
    assert max_side <= max(read[0].shape) < 2 * max_side
    expected = resizing.resize(resizing.decode(record)["image"], *example["image"].shape[:2])
    assert np.abs(example["image"].astype(int) - expected).mean() < 0.5
    brightest = np.unravel_index(example["image"][..., 0].argmax(), example["image"].shape[:2])
    assert np.abs(example["points"] - np.array(brightest[::-1]) - 0.5).max(1).min() < 0.75


def test_an_array_without_labels():
    example = resizing.unlabelled(blobs([(50, 50)]), ResizeRule(max_side=100))
    assert example["image"].shape == (60, 100, 3) and example["roi"].all() and len(example["points"]) == 0
    assert example["labelled"] is False


def test_polygon_mask():
    box = np.float32([[2, 1], [8, 1], [8, 5], [2, 5]])
    mask = resizing.polygon_mask(box, 10, 12)
    expected = np.zeros((10, 12))
    expected[1:5, 2:8] = 1
    assert (mask >= expected).all() and mask.sum() <= expected.sum() + 12  # the edges may touch more pixels
    assert resizing.polygon_mask(np.zeros((0, 2)), 3, 4).all()


@settings(max_examples=60, deadline=None)
@given(*[st.integers(1, 150)] * 4, st.booleans(), st.integers(0, 99))
def test_resize_commutes_with_turning_over(height, width, new_height, new_width, mask, seed):
    """flip(resize(x)) == resize(flip(x)) bit for bit. Otherwise rounding would reveal which images are upside down."""
    shape = (height, width) if mask else (height, width, 3)
    x = np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)
    turned = resizing.resize(np.flipud(x), new_height, new_width)
    np.testing.assert_array_equal(turned, np.flipud(resizing.resize(x, new_height, new_width)))


@pytest.mark.parametrize("size", [(32, 48), (192, 288), (96, 144), (90, 200)])
def test_resize_keeps_places_and_levels(size):
    resized = resizing.resize(blobs([(40, 70)], 96, 144), *size)
    assert resized.shape == (*size, 3)
    expected = np.array([40 * size[1] / 144, 70 * size[0] / 96])
    np.testing.assert_allclose(centroid(resized[..., 0].astype(float), 1), expected, atol=0.3)
    assert (resizing.resize(np.full((50, 60, 3), 77, np.uint8), *size) == 77).all()


def test_a_mask_without_corners_stays_one_everywhere():
    whole = resizing.polygon_mask(np.zeros((0, 2)), 40, 60)
    for mask in (whole, whole[5:20, 7:30], np.ones((40, 60), np.uint8)):
        resized = resizing.resize_mask(mask, 10, 12)
        assert resized.shape == (10, 12) and resized.all()
