"""Photometric augmentation."""

from unittest import mock

import numpy as np
import pytest
from frames_of import example_of

from cc_jax.data import photometric as module
from cc_jax.data.density import Density
from cc_jax.data.images import cv2
from cc_jax.data.photometric import photometric
from cc_jax.data.transforms import Augment


def test_it_grows_with_strength_and_leaves_the_image_alone():
    rng = np.random.default_rng(0)
    image = cv2.GaussianBlur(rng.integers(0, 256, (64, 64, 3), dtype=np.uint8), (0, 0), 2)
    image.flags.writeable = False
    assert photometric(image, rng, 0.0) is image
    change = []
    for strength in (0.1, 0.5, 1.0):
        outs = [photometric(image, np.random.default_rng(s), strength) for s in range(20)]
        assert all(out.shape == image.shape and out.dtype == np.uint8 for out in outs)
        change.append(np.mean([np.abs(out.astype(int) - image).mean() for out in outs]))
    assert 0 < change[0] < change[1] < change[2]


def test_nothing_moves():
    example = example_of([(100, 60)])
    for seed in range(8):
        plain, changed = (
            Augment(crop=96, photometric=p, scale_max=1.3)(example, np.random.default_rng(seed), Density())
            for p in (0.0, 1.0)
        )
        for name in ("density", "roi", "weight"):
            np.testing.assert_array_equal(plain[name], changed[name])


def test_colours_stay_in_order():
    """A matrix that mixed channels wrongly would tint grey or turn red into blue."""
    grey = np.full((16, 16, 3), 120, np.uint8)
    red = np.tile(np.uint8([200, 60, 40]), (16, 16, 1))
    for seed in range(20):
        drawn = np.random.default_rng(seed).uniform(-1, 1, 2)
        turning = mock.Mock(np.random.Generator)
        turning.uniform = lambda low, high, n, d=drawn: np.append(d, np.zeros(n - 2))
        colour = cv2.transform(grey, module._color(turning, 1.0))
        assert np.abs(colour.astype(int) - 120).max() <= 1
        out = photometric(red, np.random.default_rng(seed), 0.5).reshape(-1, 3).mean(0)
        assert out[0] == out.max()
    turned = photometric(red, np.random.default_rng(0), 0.0, grey=1.0)
    luma = 0.299 * 200 + 0.587 * 60 + 0.114 * 40
    assert np.abs(turned - luma).max() <= 0.51


def test_gains_are_of_one_channel():
    """Without a change of saturation and hue, the third gain makes blue stronger and nothing else."""
    blue = mock.Mock(np.random.Generator)
    blue.uniform = lambda low, high, n: np.array([0, 0, 0, 0, 1.0])
    np.testing.assert_allclose(module._color(blue, 1.0), np.diag([1, 1, 1.15]), atol=1e-9)


@pytest.mark.parametrize("side", [64, 800])  # 800: more values than the default length of the array of noise
def test_noise_is_gaussian_white_and_new_each_time(side):
    image = np.full((side, side, 3), 128, np.uint8)
    first, second = (
        module._noisy(image, np.random.default_rng(seed), 8.0).astype(float) - 128 for seed in (0, 1)
    )
    assert first.std() == pytest.approx((8**2 + 1 / 12) ** 0.5, rel=0.03) and abs(first.mean()) < 0.3
    assert ((np.abs(first) < 8).mean()) == pytest.approx(0.65, abs=0.04)  # 68 % before rounding
    for a, b in ((first[1:], first[:-1]), (first[:, 1:], first[:, :-1]), (first[..., 1], first[..., 0])):
        assert abs(np.corrcoef(a.ravel(), b.ravel())[0, 1]) < 0.05
    assert abs(np.corrcoef(first.ravel(), second.ravel())[0, 1]) < 0.05
    again = module._noisy(image, np.random.default_rng(0), 8.0).astype(float) - 128
    np.testing.assert_array_equal(first, again)


def test_the_codec_keeps_the_picture():
    image = np.tile(np.uint8([200, 120, 40]), (32, 32, 1))
    np.testing.assert_allclose(module._through_jpeg(image, 90), image, atol=3)


def test_tone_alone_keeps_every_edge_where_and_as_sharp_as_it_is():
    """With tone alone, one level becomes one level: what is equal stays equal, and there is no blur, noise or JPEG."""
    image = np.repeat(np.random.default_rng(0).integers(60, 200, (24, 24, 1), np.uint8), 3, axis=2)
    changed = photometric(image, np.random.default_rng(1), 0.0, tone=1.0)
    assert (changed != image).mean() > 0.5
    for level in np.unique(image[..., 0]):
        assert len(np.unique(changed[image[..., 0] == level], axis=0)) == 1
    np.testing.assert_array_equal(photometric(image, np.random.default_rng(1), 0.0), image)
