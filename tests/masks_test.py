"""Mask generation of Masksembles, against the paper's numbers and the authors' package."""

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cc_jax.errors import ConfigError
from cc_jax.uncertainty.masks import active, masks


def overlaps(drawn):
    """Intersection over union of every pair of masks."""
    pairs = [(a, b) for i, a in enumerate(drawn) for b in drawn[i + 1 :]]
    return np.array([np.minimum(a, b).sum() / np.maximum(a, b).sum() for a, b in pairs])


def shared_by(drawn):
    """How many channels 0, 1, 2 ... of the masks use."""
    return np.bincount(drawn.sum(axis=0).astype(int), minlength=len(drawn) + 1)


@pytest.mark.parametrize("members, ones", [(3, 292), (4, 273), (8, 257)])
def test_active_channels_of_the_paper(members, ones):
    drawn = masks(jax.random.key(0), 512, members, 2.0)
    assert drawn.shape == (members, 512) and drawn.dtype == np.float32
    assert set(np.unique(drawn)) == {0.0, 1.0}
    assert (drawn.sum(axis=1) == ones).all() and active(512, members, 2.0) == ones


@settings(max_examples=30, deadline=None)
@given(st.integers(10, 200), st.integers(1, 6), st.floats(1, 4), st.integers(0, 2**31))
def test_masks_are_even_and_use_every_channel(channels, members, scale, seed):
    try:
        drawn = masks(jax.random.key(seed), channels, members, scale)
    except ConfigError as error:
        assert "change the scale" in str(error)
        return
    assert drawn.shape == (members, channels)
    assert len(set(drawn.sum(axis=1))) == 1
    assert drawn.any(axis=0).all()


def test_ends_of_the_spectrum():
    assert (masks(jax.random.key(0), 64, 4, 1.0) == 1).all()
    assert overlaps(masks(jax.random.key(0), 512, 4, 6.0)).max() < 0.2


def test_overlap_is_that_of_the_theory():
    drawn = np.concatenate([overlaps(masks(jax.random.key(i), 512, 3, 2.0)) for i in range(20)])
    assert abs(drawn.mean() - 1 / 3) < 0.01  # 1 / (2 S - 1)


def test_same_key_same_masks():
    first, again, other = (masks(jax.random.key(i), 64, 3, 2.0) for i in (5, 5, 6))
    assert (first == again).all() and (first != other).any()


@pytest.mark.parametrize("members", [3, 4, 8])
def test_like_the_authors_package(members):
    common = pytest.importorskip("masksembles.common", reason="the package masksembles is not installed")
    np.random.seed(0)
    theirs = [common.generation_wrapper(512, members, 2.0) for _ in range(8)]
    ours = [masks(jax.random.key(i), 512, members, 2.0) for i in range(8)]
    assert {mask.sum() for drawn in theirs for mask in drawn} == {
        mask.sum() for drawn in ours for mask in drawn
    }
    a, b = (np.concatenate([overlaps(drawn) for drawn in many]) for many in (theirs, ours))
    spread = np.sqrt(a.var() / len(a) + b.var() / len(b))
    assert abs(a.mean() - b.mean()) < 4 * spread
    used_a, used_b = (np.mean([shared_by(drawn) for drawn in many], axis=0) for many in (theirs, ours))
    assert np.abs(used_a - used_b).max() < 0.03 * 512


@pytest.mark.parametrize(
    "channels, members, scale", [(9, 3, 2.0), (64, 3, 6.5), (64, 3, 0.5), (10, 3, 2.0), (11, 4, 1.7)]
)
def test_refuses_what_the_authors_package_refuses(channels, members, scale):
    common = pytest.importorskip("masksembles.common", reason="the package masksembles is not installed")
    np.random.seed(0)
    try:
        theirs = common.generation_wrapper(channels, members, scale).shape
    except ValueError:
        with pytest.raises(ConfigError):
            masks(jax.random.key(0), channels, members, scale)
    else:
        assert masks(jax.random.key(0), channels, members, scale).shape == theirs


def test_refusals_say_what_to_do():
    with pytest.raises(ConfigError, match="10 channels.*widen"):
        masks(jax.random.key(0), 9, 3, 2.0)
    with pytest.raises(ConfigError, match="between 1"):
        masks(jax.random.key(0), 64, 3, 6.01)
