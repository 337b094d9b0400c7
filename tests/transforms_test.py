"""Training crops."""

import dataclasses

import numpy as np
import pytest
from frames_of import centroid, example_of
from hypothesis import given, settings
from hypothesis import strategies as st

from cc_jax.data.density import Density
from cc_jax.data.transforms import Augment
from cc_jax.errors import ConfigError, InputError

FIXED = Density()


def pseudo_of(example, seed=0):
    """Return the example with a random pseudo label and a weight of 0 or 1."""
    rng = np.random.default_rng(seed)
    grid = [-(-side // 8) for side in example["image"].shape[:2]]
    density = rng.gamma(0.3, 1, grid).astype(np.float32)
    return {**example, "density": density, "weight": rng.integers(0, 2, grid).astype(np.float32)}


crops = st.builds(
    Augment,
    crop=st.sampled_from([64, 96, 160]),
    scale_min=st.sampled_from([0.5, 0.8]),
    scale_max=st.sampled_from([0.8, 1.7]),
    flip=st.booleans(),
)


@settings(max_examples=60, deadline=None)
@given(st.floats(0, 200), st.floats(0, 120), crops, st.integers(0, 10**6))
def test_the_density_lies_on_the_blob(x, y, augment, seed):
    """Fails for swapped coordinates, a crop or flip of only one of them, or an offset of half a cell."""
    crop = augment(example_of([(x, y)]), np.random.default_rng(seed), FIXED)
    blob = crop["image"][..., 0].astype(float)
    near_border = blob[[0, -1]].max() > 2 or blob[:, [0, -1]].max() > 2
    if blob.max() < 100 or near_border:
        return
    assert crop["density"].sum() == pytest.approx(1, abs=1e-5)
    np.testing.assert_allclose(centroid(crop["density"][..., 0], 8), centroid(blob, 1), atol=1.0)


def test_blobs_are_compared_often_enough():
    """The property above is tested: many blobs are inside their crops."""
    seen = 0
    for seed in range(40):
        crop = Augment(crop=96, scale_min=0.7, scale_max=1.3)(
            example_of([(100, 60)]), np.random.default_rng(seed), FIXED
        )
        seen += crop["density"].sum() == pytest.approx(1, abs=1e-5)
    assert seen > 20


@settings(max_examples=60, deadline=None)
@given(crops, st.integers(0, 10**6), st.integers(20, 300), st.integers(20, 300), st.booleans())
def test_shapes_and_sum(augment, seed, height, width, adaptive):
    rng = np.random.default_rng(seed)
    points = rng.uniform(0, 1, (30, 2)) * [width, height]
    example = example_of([], height, width) | {"points": points.astype(np.float32)}
    density = Density(kernel="adaptive" if adaptive else "fixed")
    crop = augment(example, rng, density)
    side, cells = augment.crop, augment.crop // 8
    shapes = {name: (array.shape, array.dtype) for name, array in crop.items()}
    assert shapes == {
        "image": ((side, side, 3), np.uint8),
        "roi": ((side, side, 1), np.uint8),
        "density": ((cells, cells, 1), np.float32),
        "weight": ((cells, cells, 1), np.float32),
    }
    assert all(array.flags.c_contiguous for array in crop.values())
    total = crop["density"].sum(dtype=np.float64)
    assert total == pytest.approx(round(total), abs=1e-4) and round(total) <= 30
    assert (crop["weight"] == 1).all() and (crop["roi"] == 1).all()


def test_heads_outside_the_crop_do_not_count_in_it():
    points = np.random.default_rng(0).uniform(0, 1, (400, 2)) * [200, 120]
    example, augment = example_of([]) | {"points": points.astype(np.float32)}, Augment(crop=64, flip=False)
    for seed in range(10):
        top, left, side = augment._window(example, np.random.default_rng(seed))
        x, y = example["points"].T
        inside = ((x >= left) & (x < left + side) & (y >= top) & (y < top + side)).sum()
        crop = augment(example, np.random.default_rng(seed), FIXED)
        assert side == 64 and 0 < inside < 400
        assert crop["density"].sum(dtype=np.float64) == pytest.approx(inside, abs=1e-4)


def test_a_crop_of_the_whole_image_counts_all_heads():
    points = [(0, 0), (96, 96), (-4, 50), (95.99, 0), (400, 400), (50, 50)]  # some on or outside the border
    crop = Augment(crop=96)(example_of(points, 96, 96), np.random.default_rng(0), FIXED)
    assert crop["density"].sum() == pytest.approx(6, abs=1e-4)


def test_a_small_image_is_scaled_up_until_it_covers_the_crop():
    augment = Augment(crop=128, scale_min=0.5, scale_max=1.0, flip=False)
    example = example_of([(20, 10)], 32, 40)
    top, left, side = augment._window(example, np.random.default_rng(0))
    assert side == 32 and top == 0 and 0 <= left <= 8
    crop = augment(example, np.random.default_rng(0), FIXED)
    assert crop["image"].shape == (128, 128, 3) and crop["image"][:, :, 0].min(1).max() < 250
    assert crop["density"].sum() == pytest.approx(1, abs=1e-5)


def test_unscaled_crops_are_cut_without_resampling():
    """A share of the crops are pixels of the image as it is evaluated. The others have a random scale."""
    example = example_of([])
    example["image"] = np.random.default_rng(5).integers(0, 256, example["image"].shape, np.uint8)

    def share_cut(**fields):
        augment, cut = Augment(crop=64, scale_min=0.7, scale_max=0.9, flip=False, **fields), 0
        for seed in range(200):
            top, left, side = augment._window(example, np.random.default_rng(seed))
            crop = augment(example, np.random.default_rng(seed), FIXED)["image"]
            exact = np.array_equal(crop, example["image"][top : top + 64, left : left + 64])
            assert exact == (side == 64) and (exact or 71 <= side <= 91)
            cut += exact
        return cut / 200

    assert share_cut() == 0 and share_cut(unscaled_share=1.0) == 1
    assert 0.2 < share_cut(unscaled_share=0.3) < 0.4


def test_plain_crops_are_windows_of_the_image_and_nothing_else():
    rng = np.random.default_rng(0)
    example = example_of([(50, 50)], image=rng.integers(0, 256, (120, 200, 3)).astype(np.uint8))
    changed = Augment(crop=64, scale_min=0.5, scale_max=0.9, flip=False, photometric=1.0)
    windows = np.lib.stride_tricks.sliding_window_view(example["image"], (64, 64), axis=(0, 1))
    for seed in range(5):
        for augment, is_window in ((changed.plain(), True), (changed, False)):
            crop = augment(example, np.random.default_rng(seed), FIXED)["image"].transpose(2, 0, 1)
            assert (windows == crop).all(axis=(2, 3, 4)).any() == is_window


def test_clean_is_the_crop_before_its_photometric_changes():
    """Window, scale and mirroring are the same, and the crop itself is not affected by `clean`."""
    example = example_of([(100, 60), (40, 90)])
    strong = Augment(crop=96, scale_min=0.7, scale_max=1.4, photometric=1.0, grey=0.5)
    changed = 0
    for seed in range(8):
        both = dataclasses.replace(strong, clean=True)(example, np.random.default_rng(seed), FIXED)
        alone = strong(example, np.random.default_rng(seed), FIXED)
        never = dataclasses.replace(strong, photometric=0.0, grey=0.0)(
            example, np.random.default_rng(seed), FIXED
        )
        np.testing.assert_array_equal(both["clean"], never["image"])
        np.testing.assert_array_equal(both["image"], alone["image"])
        assert "clean" not in alone
        changed += not np.array_equal(both["image"], both["clean"])
    assert changed >= 4  # the others are black


def test_adaptive_sigma_is_that_of_the_whole_image():
    """A head whose neighbors are cut off looks as in the whole image, not as a lone head."""
    density, augment = Density(kernel="adaptive"), Augment(crop=64, flip=False)
    top, left, _ = augment._window(example_of([]), np.random.default_rng(3))
    centre = np.array([left + 32, top + 32])
    points = np.array([centre, centre + (36, 0), centre - (36, 0), centre + (0, 36)])
    crop = augment(example_of([]) | {"points": points.astype(np.float32)}, np.random.default_rng(3), density)
    expected = density.map(np.array([[32.0, 32.0]]), 64, 64, sigmas=np.array([0.3 * 36]))
    np.testing.assert_allclose(crop["density"][..., 0], expected, atol=1e-6)


def test_resampling_does_not_tell_which_way_up():
    """An image and its upside-down copy give the same two crops, equally often."""
    image = np.random.default_rng(0).integers(0, 256, (96, 96, 3), np.uint8)

    def crops_of(pixels):
        augment = Augment(crop=56, scale_min=56 / 96, scale_max=56 / 96, flip=False)
        example = example_of([], 96, 96) | {"image": pixels}
        return [augment(example, np.random.default_rng(seed), FIXED)["image"].tobytes() for seed in range(40)]

    upright, turned = crops_of(image), crops_of(np.ascontiguousarray(image[::-1]))
    back = [np.frombuffer(t, np.uint8).reshape(56, 56, 3)[::-1].tobytes() for t in turned]
    assert set(upright) == set(back) and len(set(upright)) == 2
    assert 10 < upright.count(upright[0]) < 30


def test_flip_mirrors_everything_and_never_turns_over():
    y, x = np.mgrid[:96, :96]
    example = example_of([(10, 20), (70, 80.5)], 96, 96) | {"roi": (x < 90).astype(np.uint8)}
    example["image"] = np.stack([2 * x, 2 * y, x + y], -1).astype(np.uint8)
    seen = set()
    for seed in range(12):
        plain = Augment(crop=96, flip=False)(example, np.random.default_rng(seed), FIXED)
        crop = Augment(crop=96)(example, np.random.default_rng(seed), FIXED)
        mirrored = bool((crop["image"] != plain["image"]).any())
        seen.add(mirrored)
        for name, array in crop.items():
            np.testing.assert_array_equal(array, plain[name][:, ::-1] if mirrored else plain[name])
    assert seen == {False, True}


def test_heads_outside_the_roi_are_dropped_in_crops():
    roi = np.zeros((96, 96), np.uint8)
    roi[:, 48:] = 1
    example = example_of([(47.9, 20), (48.1, 20), (90, 90)], 96, 96, roi=roi)
    crop = Augment(crop=96, flip=False)(example, np.random.default_rng(0), FIXED)
    assert crop["density"].sum() == pytest.approx(2, abs=1e-5)
    np.testing.assert_array_equal(crop["roi"][..., 0], roi)
    doubled = Augment(crop=192, scale_min=2.0, scale_max=2.0, flip=False)(
        example, np.random.default_rng(0), FIXED
    )
    assert doubled["roi"].sum() == 192 * 96 and not doubled["roi"][:, :96].any()


def test_weight_says_what_is_labelled():
    unlabelled = example_of([], labelled=False)
    crop = Augment(crop=64)(unlabelled, np.random.default_rng(0), FIXED)
    assert not crop["weight"].any() and not crop["density"].any()


@settings(max_examples=60, deadline=None)
@given(crops, st.integers(0, 10**6), st.integers(40, 220), st.integers(40, 220))
def test_pseudo_labels_keep_their_sum(augment, seed, height, width):
    example = pseudo_of(example_of([(9, 9)], height, width), seed)
    top, left, side = augment._window(example, np.random.default_rng(seed))
    assert top % 8 == left % 8 == side % 8 == 0
    crop = augment(example, np.random.default_rng(seed), FIXED)
    cut = (slice(top // 8, (top + side) // 8), slice(left // 8, (left + side) // 8))
    assert crop["density"].sum(dtype=np.float64) == pytest.approx(example["density"][cut].sum(), rel=1e-5)
    assert (crop["weight"] >= 0).all() and (crop["weight"] <= 1 + 1e-6).all()  # averages are rounded
    if side == augment.crop:
        for name in ("density", "weight"):
            expected = example[name][cut]
            same = [np.allclose(crop[name][..., 0], e) for e in (expected, expected[:, ::-1])]
            assert any(same if augment.flip else same[:1])


@settings(max_examples=40, deadline=None)
@given(st.floats(20, 180), st.floats(20, 100), crops, st.integers(0, 10**6))
def test_pseudo_labels_lie_on_the_blob(x, y, augment, seed):
    example = example_of([(x, y)])
    label = FIXED.map(example["points"], 120, 200)
    example |= {"density": label, "weight": np.ones_like(label), "points": np.zeros((0, 2), np.float32)}
    crop = augment(example, np.random.default_rng(seed), FIXED)
    blob = crop["image"][..., 0].astype(float)
    if blob.max() < 100 or blob[[0, -1]].max() > 2 or blob[:, [0, -1]].max() > 2:
        return
    np.testing.assert_allclose(centroid(crop["density"][..., 0], 8), centroid(blob, 1), atol=2.5)


def test_pseudo_labels_must_have_the_size_of_the_image():
    example = example_of([(50, 50)], 60, 100)
    small = np.ones((8, 13), np.float32)
    crop = Augment(crop=48, flip=False)(
        {**example, "density": small, "weight": small}, np.random.default_rng(0), FIXED
    )
    assert crop["density"].sum() == pytest.approx(36)
    example = example_of([(50, 50)])
    with pytest.raises(ValueError, match="frame: a pseudo label"):
        Augment(crop=48)({**example, "density": small, "weight": small}, np.random.default_rng(0), FIXED)
    with pytest.raises(InputError, match="less than a cell"):
        Augment(crop=8)(pseudo_of(example_of([], 6, 50)), np.random.default_rng(0), FIXED)


@pytest.mark.parametrize(
    "fields",
    [
        {"crop": 100},
        {"crop": 0},
        {"unscaled_share": 1.5},
        {"scale_min": 2.0},
        {"scale_min": 0.0},
        {"photometric": 1.5},
        {"grey": -0.1},
    ],
)
def test_wrong_fields_are_refused(fields):
    with pytest.raises(ConfigError, match="config.(augment|source or config.target)"):
        dataclasses.replace(Augment(), **fields)
