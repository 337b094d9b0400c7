"""Samples axis S: its length, who sees which mask, and that one full mask is the plain network."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cc_jax.models import tiny
from cc_jax.uncertainty import masksembles, single

IMAGE = jnp.asarray(np.random.default_rng(0).integers(0, 255, (5, 64, 72, 3)), jnp.uint8)
ROI = jnp.ones((5, 64, 72, 1), jnp.uint8)
KEY = jax.random.key(0)


@pytest.fixture(scope="module")
def model():
    return tiny.Model(dtype="float32", head="figure")


@pytest.fixture(scope="module")
def variables(model):
    return dict(model.init(KEY, IMAGE[:1], ROI[:1]))


def drawn(uncertainty, model, variables, *, train, rng=KEY):
    return uncertainty.draw(model, variables, IMAGE, ROI, rng, train=train)


def test_single_is_one_sample_of_the_plain_network(model, variables):
    out = drawn(single.Uncertainty(), model, variables, train=False)
    assert out["density"].shape == (1, 5, 8, 9, 1) and out["upside_down"].shape == (1, 5, 2)
    plain = model.apply(variables, IMAGE, ROI)
    np.testing.assert_allclose(out["density"][0], plain["density"], rtol=1e-5, atol=1e-6)


def test_masksembles_runs_every_mask_in_evaluation(model, variables):
    members = masksembles.Uncertainty(members=3, scale=2.0)
    masked = {**variables, **members.collections(KEY, model)}
    out = drawn(members, model, masked, train=False)["density"]
    assert out.shape == (3, 5, 8, 9, 1)
    assert float(jnp.abs(out[0] - out[1]).max()) > 1e-6
    features = model.apply(masked, IMAGE, ROI, method="encode")
    third = model.apply(masked, features, masked["masks"]["masks"][2], ROI, method="decode")
    np.testing.assert_allclose(out[2], third, rtol=1e-4, atol=1e-6)


def test_in_training_each_image_sees_one_mask_and_all_masks_are_dealt(model, variables):
    members = masksembles.Uncertainty(members=3, scale=2.0)
    masked = {**variables, **members.collections(KEY, model)}
    every = np.asarray(drawn(members, model, masked, train=False)["density"])
    for seed in range(4):
        one = np.asarray(drawn(members, model, masked, train=True, rng=jax.random.key(seed))["density"])
        assert one.shape == (1, 5, 8, 9, 1)
        seen = [int(np.abs(every[:, b] - one[0, b]).max((1, 2, 3)).argmin()) for b in range(5)]
        assert all(np.allclose(every[m, b], one[0, b], rtol=1e-4, atol=1e-6) for b, m in enumerate(seen))
        assert sorted(np.bincount(seen, minlength=3).tolist()) == [1, 2, 2]


def test_scale_one_is_the_single_network(model, variables):
    members = masksembles.Uncertainty(members=2, scale=1.0)
    out = drawn(members, model, {**variables, **members.collections(KEY, model)}, train=False)["density"]
    plain = model.apply(variables, IMAGE, ROI)["density"]
    np.testing.assert_allclose(out, np.stack([plain, plain]), rtol=1e-4, atol=1e-6)


def test_masks_come_from_the_key_alone(model):
    members = masksembles.Uncertainty(members=3, scale=2.0)
    first, again, other = (members.collections(jax.random.key(k), model)["masks"]["masks"] for k in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert (np.asarray(first) != np.asarray(other)).any()
