"""Cloth: factors that keep the color, tile without seams, and are as fine as a person is large."""

import numpy as np
import pytest

from cc_jax.data.scenes import cloth, crowds, sprites


@pytest.mark.parametrize("which", range(11))
def test_cloth_is_factors_around_one(which):
    piece = cloth.piece(np.random.default_rng(0), which, 128.0, 256, 256)
    assert piece.shape == (256, 256, 3) and piece.dtype == np.float32
    np.testing.assert_allclose(piece.mean((0, 1)), 1, atol=0.06)
    assert piece.min() > 0 and piece.std() > 0.05


@pytest.mark.parametrize("which", [0, 2, 4])
def test_folds_have_no_seam(which):
    """Where a tile is repeated, neighbors differ no more than inside of it."""
    large = cloth.piece(np.random.default_rng(0), which, 128.0, 600, 600)
    np.testing.assert_array_equal(large[:256], large[256:512])
    for axis in (0, 1):
        steps = np.abs(np.diff(large, axis=axis)).mean((1 - axis, 2))
        assert steps.max() < 4 * np.median(steps)


def test_a_pattern_is_as_large_as_the_person():
    """Half as many pixels a metre: half as wide in pixels."""
    stripes = 1

    def period(metre):
        row = cloth.piece(np.random.default_rng(0), stripes, metre, 128, 128).mean((1, 2))
        column = cloth.piece(np.random.default_rng(0), stripes, metre, 128, 128).mean((0, 2))
        powers = [np.abs(np.fft.rfft(line - line.mean())) for line in (row, column)]
        return 128 / max(powers, key=np.max).argmax()

    assert period(128.0) == pytest.approx(2 * period(64.0), rel=0.15)


def test_people_wear_it_and_heads_show_little_of_it():
    detail = crowds._detail(np.random.default_rng(0), 200)
    assert (detail[:, sprites.HEAD] < 0.4).all() and detail[:, sprites.UPPER].max() > 0.9
    assert (detail[:, sprites.NOTHING] == 0).all()
