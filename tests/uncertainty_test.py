"""What is special about each uncertainty: which image sees which mask, and the two ends of the spectrum."""

from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from small_methods import quick_jit

from cc_jax import build
from cc_jax.distributed import mesh
from cc_jax.errors import ConfigError
from cc_jax.models import tiny
from cc_jax.optimization import train_state as states
from cc_jax.uncertainty import deep_ensemble, masksembles, mc_dropout, single
from configs import demo

IMAGE = jnp.asarray(np.random.default_rng(0).integers(0, 255, (5, 64, 72, 3)), jnp.uint8)
ROI = jnp.ones((5, 64, 72, 1), jnp.uint8)
KEY = jax.random.key(0)


@pytest.fixture(scope="module")
def model():
    return tiny.Model(dtype="float32", head="figure")


def started(way, model):
    params, collections = build.initial(build.CountingNetwork(model, way, way.draw, 100.0), KEY)
    return {"params": params, **collections}


@pytest.fixture(scope="module")
def variables(model):
    return started(single.Uncertainty(), model)


def drawn(uncertainty, model, variables, *, train, rng=KEY):
    return uncertainty.draw(model, variables, IMAGE, ROI, rng, train=train)


def test_single_is_one_sample_of_the_plain_network(model, variables):
    out = drawn(single.Uncertainty(), model, variables, train=False)
    assert out["density"].shape == (1, 5, 8, 9, 1) and out["upside_down"].shape == (1, 5, 2)
    plain = model.apply(variables, IMAGE, ROI)
    np.testing.assert_allclose(out["density"][0], plain["density"], rtol=1e-5, atol=1e-6)


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


def test_members_of_disjoint_masks_share_nothing_behind_them(model, variables):
    """As in an ensemble: no two members read the same channels in the first convolution after the mask."""
    half = model.mask_channels // 2
    channels = jnp.arange(2 * half).reshape(2, half)

    def second(params):
        own = {**variables, "params": params}
        features = model.apply(own, IMAGE, ROI, method="encode")
        return model.apply(own, features, channels, ROI, method="decode_members")[1].sum()

    gradient = jax.grad(second)(variables["params"])["rest"]["conv0"]["kernel"]
    assert not gradient[:, :, :half].any() and gradient[:, :, half:].any()


def test_members_are_the_masked_network(model, variables):
    """Reading only a member's channels is the same as multiplying by its mask, for all members and images, with an ROI."""
    members = masksembles.Uncertainty(members=4, scale=1.5)
    masked = {**variables, **members.collections(KEY, model)}
    roi = ROI.at[1:, :, 40:].set(0)
    out = members.draw(model, masked, IMAGE, roi, KEY, train=False)["density"]
    features = model.apply(masked, IMAGE, roi, method="encode")
    for sample, mask in zip(out, masked["masks"]["masks"], strict=True):
        expected = model.apply(masked, features, mask, roi, method="decode")
        np.testing.assert_allclose(sample, expected, rtol=1e-4, atol=1e-6)


def test_without_dropping_dropout_is_the_single_network(model, variables):
    out = drawn(mc_dropout.Uncertainty(members=2, rate=0.0), model, variables, train=False)["density"]
    plain = model.apply(variables, IMAGE, ROI)["density"]
    np.testing.assert_allclose(out, np.stack([plain, plain]), rtol=1e-4, atol=1e-6)


def test_dropout_drops_whole_channels_and_keeps_the_mean(model, variables):
    way = mc_dropout.Uncertainty(members=2000, rate=0.2)
    drops = way.masks(KEY, 2000, model.mask_channels)
    assert set(np.unique(drops)) == {0.0, np.float32(1.25)}
    np.testing.assert_allclose(drops.mean(), 1, atol=0.01)
    features = model.apply(variables, IMAGE, ROI, method="encode")
    few = mc_dropout.Uncertainty(members=3, rate=0.2)
    out = drawn(few, model, variables, train=False)["density"]
    for sample, mask in zip(out, few.masks(KEY, 3, model.mask_channels), strict=True):
        np.testing.assert_allclose(
            sample, model.apply(variables, features, mask, ROI, method="decode"), rtol=1e-4, atol=1e-6
        )


def test_in_training_each_image_has_a_dropout_mask_of_its_own(model, variables):
    way = mc_dropout.Uncertainty(members=3, rate=0.5)
    same = jnp.broadcast_to(IMAGE[:1], IMAGE.shape)
    trained = way.draw(model, variables, same, ROI, KEY, train=True)["density"]
    assert trained.shape[0] == 1 and len({x.tobytes() for x in np.asarray(trained[0])}) == 5


def test_an_ensemble_is_its_members(model):
    way = deep_ensemble.Uncertainty(members=3)
    stacked = started(way, model)
    out = drawn(way, model, stacked, train=False)
    assert out["density"].shape == (3, 5, 8, 9, 1) and out["upside_down"].shape == (3, 5, 2)
    for i in range(3):
        alone = model.apply(jax.tree.map(lambda x, i=i: x[i], stacked), IMAGE, ROI)
        np.testing.assert_allclose(out["density"][i], alone["density"], rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(out["upside_down"][i], alone["upside_down"], rtol=1e-4, atol=1e-5)
    assert float(jnp.abs(out["density"][0] - out["density"][1]).max()) > 1e-3


@pytest.mark.parametrize(
    "make",
    [
        lambda: mc_dropout.Uncertainty(members=0, rate=0.1),
        lambda: mc_dropout.Uncertainty(members=2, rate=1.0),
        lambda: deep_ensemble.Uncertainty(members=0),
    ],
)
def test_fields_that_make_no_sense(make):
    with pytest.raises(ConfigError, match=r"config\.uncertainty"):
        make()


@pytest.mark.slow
@pytest.mark.parametrize("method, optimizer", [("no_adapt", "adamw"), ("ours", "muon")])
def test_members_train_as_if_alone(method, optimizer):
    """One step of an ensemble is one step of each network: losses, clipping and weight decay do not mix."""
    config = demo.get_config("smoke")
    config.model.tiny.spatial_kernel_size = 0  # compiles in half the time
    config.method.name, config.optimizer.name, config.optimizer.clip = method, optimizer, 0.01
    config.uncertainty.name = "deep_ensemble"
    together = build.counting_network(config)
    state = build.fresh_state(config, together, mesh.make_mesh())
    config.uncertainty.name = "single"
    apart = build.counting_network(config)
    own = build.fresh_state(config, apart, mesh.make_mesh())
    rng = np.random.default_rng(0)
    crops = {
        "image": jnp.asarray(rng.integers(0, 255, (2, 64, 64, 3)), jnp.uint8), "roi": jnp.ones((2, 64, 64, 1), jnp.uint8),
        "density": jnp.asarray(rng.gamma(0.2, 1, (2, 8, 8, 1)), jnp.float32), "weight": jnp.ones((2, 8, 8, 1)),
    }  # fmt: skip
    batch, update = {"source": crops, "target": crops}, build.method(config).stages()[0].update
    after, values = quick_jit(lambda s: update(s, batch, KEY, together.draw))(state)
    step, losses = quick_jit(lambda s: update(s, batch, KEY, apart.draw)), []
    for i in range(3):
        params = jax.tree.map(lambda x, i=i: x[i], state.params["counter"])
        stepped, value = step(own.replace(params={"counter": params}, ema=params))
        losses.append(float(value["loss"]))
        jax.tree.map(
            lambda a, b, i=i: np.testing.assert_allclose(a[i], b, rtol=2e-3, atol=2e-5),
            after.params["counter"], stepped.params["counter"],
        )  # fmt: skip
    assert float(values["loss"]) == pytest.approx(sum(losses), rel=1e-4) and len(set(losses)) == 3


def test_members_that_the_devices_cannot_share_out(monkeypatch):
    config = demo.get_config("smoke")
    config.uncertainty.name, config.uncertainty.deep_ensemble.shard = "deep_ensemble", True
    network = build.counting_network(config)
    two = mock.Mock(jax.sharding.Mesh, size=2)
    monkeypatch.setattr(build.meshes, "replicated", lambda mesh: None)
    monkeypatch.setattr(build.meshes, "split", lambda mesh: None)
    with pytest.raises(ConfigError, match=r"deep_ensemble\.members=3 cannot be split over 2 devices"):
        build._shardings(network, two, mock.Mock(states.TrainState))
