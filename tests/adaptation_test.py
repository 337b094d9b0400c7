"""The central term of each method but OURS, against an independent computation or by what it does to a counter."""

import dataclasses
import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from skimage.metrics import structural_similarity
from sklearn.gaussian_process import GaussianProcessRegressor, kernels
from small_methods import BATCH, KEY, draw, method_of, quick_jit, small_fields, state_of, step, unused

from cc_jax.errors import ConfigError
from cc_jax.methods import mic, se_fd
from cc_jax.methods.base import StageTools, TrainSet
from cc_jax.methods.parts import gan, heads, translation
from cc_jax.methods.parts.gaussian_process import posterior
from cc_jax.methods.parts.ssim import ssim

# Image translation.


def test_generator_and_discriminator_have_the_papers_sizes():
    """The counts that the released code of Cycle-GAN prints: 11.378 M and 2.765 M."""
    image = jnp.zeros((1, 64, 64, 3))
    sizes = [
        sum(x.size for x in jax.tree.leaves(jax.eval_shape(module.init, KEY, image)))
        for module in (gan.Generator(), gan.Discriminator())
    ]
    assert sizes == [11_378_179, 2_764_737]


def test_a_patch_has_70_pixels_a_side(monkeypatch):
    monkeypatch.setattr(gan, "instance_norm", lambda x: x)  # which sees the whole image
    module, image = gan.Discriminator(width=4), jax.random.normal(KEY, (1, 128, 128, 3))
    params = module.init(KEY, image)
    gradient = jax.grad(lambda x: module.apply(params, x)[0, 7, 7, 0])(image)
    rows, columns = np.nonzero(np.abs(gradient[0]).sum(-1))
    assert np.ptp(rows) + 1 == np.ptp(columns) + 1 == 70


def test_instance_norm():
    x = jax.random.normal(KEY, (2, 8, 9, 3)) * 5 + 2
    normal = np.asarray(gan.instance_norm(x))
    np.testing.assert_allclose(normal.mean((1, 2)), 0, atol=1e-5)
    np.testing.assert_allclose(normal.var((1, 2)), 1, rtol=1e-3)


def test_doubling_is_flaxs_transposed_convolution():
    x = jax.random.normal(KEY, (2, 5, 6, 3))
    reference = nn.ConvTranspose(4, (3, 3), (2, 2), padding="SAME", bias_init=nn.initializers.normal())
    params = reference.init(KEY, x)
    found, expected = (
        jax.value_and_grad(lambda p, m=module: jnp.sum(m.apply(p, x) ** 3))(params)
        for module in (gan.Doubling(4, "float32"), reference)
    )
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4), found, expected)
    np.testing.assert_allclose(
        gan.Doubling(4, "float32").apply(params, x), reference.apply(params, x), rtol=1e-5, atol=1e-5
    )


@pytest.mark.parametrize("channels", [1, 3])
def test_ssim_is_scikit_images(channels):
    rng = np.random.default_rng(0)
    a = jnp.float32(rng.uniform(-1, 1, (2, 40, 56, channels)))
    b = jnp.clip(a + jnp.float32(rng.normal(0, 0.2, a.shape)), -1, 1)
    same = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "data_range": 2.0}
    for i, found in enumerate(np.asarray(ssim(a, b, span=2.0))):
        _, full = structural_similarity(
            np.asarray(a[i]), np.asarray(b[i]), channel_axis=-1, full=True, **same
        )
        assert found == pytest.approx(full[5:-5, 5:-5].mean(), abs=1e-4)
    np.testing.assert_allclose(ssim(a, a, span=2.0), 1, rtol=1e-5)


def test_the_pool_fills_and_then_shows_old_images_half_of_the_time():
    pool, filled = jnp.zeros((4, 8, 8, 3), jnp.uint8), 0
    shown = []
    show = quick_jit(translation.from_pool)
    for i in range(200):
        fake = jnp.full((1, 8, 8, 3), i / 100 - 1)
        image, pool = show(fake, pool, jnp.int32(filled), jax.random.key(i))
        filled = min(filled + 1, 4)
        shown.append(round((float(image[0, 0, 0, 0]) + 1) * 100))
    assert shown[:4] == [0, 1, 2, 3]
    old = np.array([value < i for i, value in enumerate(shown)])[4:]
    assert 0.35 < old.mean() < 0.65
    assert all(value <= i for i, value in enumerate(shown))
    assert len(set(np.array(shown)[4:][old])) == old.sum()  # each is shown once and then gone


def test_a_part_is_the_same_square_of_images_and_cells():
    rows, columns = np.mgrid[:64, :64].astype(np.float32)
    where = jnp.stack([rows, columns], -1)[None]
    batch = {"source": {"image": where, "density": where[:, ::8, ::8]}, "target": {"image": where}}
    corners = set()
    for i in range(40):
        cut = translation.random_square(batch, 32, jax.random.key(i))
        image, cells = cut["source"]["image"], cut["source"]["density"]
        assert image.shape == (1, 32, 32, 2) and cells.shape == (1, 4, 4, 2)
        np.testing.assert_array_equal(image[:, ::8, ::8], cells)
        np.testing.assert_array_equal(image, cut["target"]["image"])
        corners.add(tuple(np.asarray(image[0, 0, 0])))
    assert {axis for corner in corners for axis in corner} == {0, 8, 16, 24, 32}  # borders included
    assert (
        translation.random_square(batch, 64, KEY) is batch
        and translation.random_square(batch, 256, KEY) is batch
    )


def losses_of(method, state, image):
    """The translator's loss, term by term, from the modules alone."""

    def make(d, x):
        return method.generator.apply({"params": state.params["translator"][d]}, x)

    def judge(d, x):
        return method.discriminator.apply({"params": state.params["critic"][d]}, x)

    source, target = image["source"], image["target"]
    fake_target, fake_source = make("target", source), make("source", target)
    back = {"source": make("source", fake_target), "target": make("target", fake_source)}
    adversarial = jnp.mean((judge("target", fake_target) - 1) ** 2) + jnp.mean(
        (judge("source", fake_source) - 1) ** 2
    )
    cycle = jnp.abs(back["source"] - source).mean() + jnp.abs(back["target"] - target).mean()
    identity = (
        jnp.abs(make("source", source) - source).mean() + jnp.abs(make("target", target) - target).mean()
    )
    return adversarial, cycle, identity, back


@pytest.mark.slow
def test_the_translators_loss_has_all_its_terms():
    """The terms of Cycle-GAN and the structural one, on a square of the crops."""
    method = method_of("se_cycle_gan", **small_fields("se_cycle_gan"))
    state = state_of(method)
    squares = translation.random_square(BATCH, 32, jax.random.split(KEY)[0])
    image = {d: translation.to_unit(jnp.asarray(squares[d]["image"])) for d in translation.DOMAINS}
    adversarial, cycle, identity, back = quick_jit(functools.partial(losses_of, method))(state, image)
    structure = sum(1 - ssim(image[d], back[d], span=2.0).mean() for d in translation.DOMAINS)
    after, metrics = step(method.translate, state)
    expected = adversarial + 10 * cycle + 5 * identity + structure
    assert float(metrics["loss"]) == pytest.approx(float(expected), rel=1e-4)
    for network in ("translator", "critic"):
        old, new = (jax.tree.leaves(s.params[network]) for s in (state, after))
        assert all((a != b).any() for a, b in zip(old, new, strict=True) if a.ndim > 1)
    pool = after.collections["critic"]["pool"]
    assert int(pool["filled"]) == 2
    assert pool["target"].shape == (3, 32, 32, 3) and pool["target"][:2].any((1, 2, 3)).all()


def test_the_critic_learns_to_tell_real_from_translated():
    fields = {
        "translate_crop": 64,
        "translate_rate": 2e-3,
        "translate_steps": 1000,
    }  # the crops of BATCH, whole
    method = method_of("cycle_gan", **{**small_fields("cycle_gan"), **fields})
    state = state_of(method)
    image = {d: translation.to_unit(jnp.asarray(BATCH[d]["image"])) for d in translation.DOMAINS}
    fake = {d: jnp.zeros_like(image[d]) for d in translation.DOMAINS}
    critic_step = quick_jit(lambda state, key: method.critic_step(state, image, fake, key))
    first = None
    for i in range(60):
        state, value = critic_step(state, jax.random.key(i))
        first = first or float(value)
    assert float(value) < 0.2 * first
    for d in translation.DOMAINS:
        real, made = (float(method.realness(state.params["critic"], d, x[d]).mean()) for x in (image, fake))
        assert real > 0.7 and made < 0.3


def test_the_counter_learns_on_the_translated_source_with_its_own_head_points():
    method = method_of("cycle_gan", **small_fields("cycle_gan"))
    state = state_of(method)
    before = [{"image": BATCH["source"]["image"][0], "points": np.ones((3, 2)), "labelled": True}]

    def rewrite(name, function, params, examples):
        return [{**one, "image": np.asarray(function(params, one["image"][None])[0])} for one in examples]

    sets = {"source": TrainSet(before), "target": TrainSet([])}
    shown = method.stages()[-1].data(state, sets, StageTools(unused, rewrite, unused))
    assert (
        method.stages()[-1].draws == ("source",)
        and (shown["source"].examples[0]["points"] == before[0]["points"]).all()
    )
    made = method.generator.apply(
        {"params": state.params["translator"]["target"]}, before[0]["image"][None] / 127.5 - 1
    )
    np.testing.assert_allclose(
        shown["source"].examples[0]["image"], (np.asarray(made[0]) + 1) * 127.5, atol=0.51
    )
    _, metrics = method.stages()[-1].update(state, {"source": BATCH["source"]}, KEY, draw)
    estimate = 0.01 * BATCH["source"]["image"][:, ::8, ::8, :1].astype(float)
    expected = float(np.mean((estimate - BATCH["source"]["density"] * 100 / 64) ** 2))
    assert float(metrics["loss"]) == pytest.approx(expected, rel=1e-4)


@pytest.mark.slow
def test_joint_training_counts_on_translations_and_trains_the_translator_by_the_count():
    method = method_of("se_cycle_gan_jt", **small_fields("se_cycle_gan_jt"))
    after = {}
    for weight in (0.0, 1.0):
        one = dataclasses.replace(method, task_weight=weight)
        state, metrics = step(one.joint, state_of(one))
        after[weight] = state.params["translator"]
    assert state.collections["critic"]["pool"]["target"].shape == (3, 32, 32, 3)
    source = BATCH["source"]
    made = method.translate_to(
        state_of(method).params["translator"], "target", translation.to_unit(jnp.asarray(source["clean"]))
    )
    estimate = 0.01 * (np.asarray(made)[:, ::8, ::8, :1] + 1) * 127.5
    expected = float(np.mean((estimate - source["density"] * 100 / 64) ** 2))
    assert float(metrics["density_loss"]) == pytest.approx(expected, rel=1e-4)
    differ = jax.tree.map(lambda a, b: bool((a != b).any()), after[0.0], after[1.0])
    assert any(jax.tree.leaves(differ["target"])) and not any(jax.tree.leaves(differ["source"]["last"]))


# Features.


def test_se_fd_makes_the_targets_crowd_look_like_the_sources():
    """Only the adversarial term moves the counter here. The discriminator is then fooled more easily."""
    method = method_of("se_fd", mask_weight=0.0, adversarial_weight=1.0)
    batch = {
        "source": {**BATCH["source"], "weight": 0 * BATCH["source"]["weight"]},
        "target": BATCH["target"],
    }
    state = state_of(method, rate=1e-4)
    after, metrics = step(method.align, state, batch)
    assert (
        float(metrics["density_loss"]) == 0 and after.params["counter"]["a"] != state.params["counter"]["a"]
    )
    fooled = step(
        method.align, state.replace(params={**state.params, "counter": after.params["counter"]}), batch
    )
    assert float(fooled[1]["adversarial_loss"]) < float(metrics["adversarial_loss"])
    without, _ = step(dataclasses.replace(method, adversarial_weight=0.0).align, state, batch)
    assert without.params["counter"]["a"] == state.params["counter"]["a"]


def test_se_fds_loss_has_all_its_terms():
    method = method_of("se_fd", mask_weight=0.5, adversarial_weight=2.0)
    _, metrics = step(method.align, state_of(method), BATCH)
    value = {name: float(metrics[f"{name}_loss"]) for name in ("density", "mask", "adversarial")}
    assert min(value.values()) > 0
    expected = value["density"] + 0.5 * value["mask"] + 2 * value["adversarial"]
    assert float(metrics["loss"]) == pytest.approx(expected, rel=1e-5)


def test_se_fd_learns_the_mask_of_the_labels_and_cuts_features_out_by_it():
    method = method_of("se_fd")
    crowd = jnp.array([3.0, -3.0]).reshape(1, 1, 2, 1)
    source = {"density": jnp.array([0.5, 0.0]).reshape(1, 1, 2, 1), "weight": jnp.ones((1, 1, 2, 1))}
    right = method.mask_loss(crowd, source)
    assert float(right) == pytest.approx(np.log1p(np.exp(-3)), rel=1e-5) and float(right) < float(
        method.mask_loss(-crowd, source)
    )
    seen = []
    original = heads.FeatureCritic.__call__

    def spy(self, features):
        seen.append(features)
        return original(self, features)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(heads.FeatureCritic, "__call__", spy)
        state = state_of(method)
        seen.clear()
        with jax.disable_jit():
            step(method.align, state, BATCH)
    bare = draw({"params": state.params["counter"]}, BATCH["target"]["image"], None, None, True)["features"][
        0
    ]
    mask = jax.nn.sigmoid(se_fd.crowd_logits(state.params["extractor"], bare))
    np.testing.assert_allclose(jax.lax.stop_gradient(np.asarray(seen[-1])), bare * mask, rtol=1e-4, atol=1e-5)


def test_bla_aligns_crowd_and_background_apart():
    method = method_of("bla")
    features = jnp.concatenate([jnp.ones((1, 4, 4, 64)), -jnp.ones((1, 4, 4, 64))], 2)
    crowd = jnp.arange(8).reshape(1, 1, 8, 1) < 1  # an eighth of the cells, half of the loss
    crowd = jnp.tile(crowd, (1, 4, 1, 1))
    params = state_of(method).params["critic"]
    parts = {}
    for part, inside in (("crowd", crowd), ("background", ~crowd)):
        logits = heads.CellCritic().apply({"params": params[part]}, features)
        parts[part] = np.asarray(optax.sigmoid_binary_cross_entropy(logits, 1.0))[np.asarray(inside)].mean()
    assert float(method.domain_loss(params, features, crowd, 1.0)) == pytest.approx(
        sum(parts.values()) / 2, rel=1e-5
    )


def test_bla_moves_the_counter_by_its_adversaries_alone():
    method = method_of("bla", adversarial_weight=1.0)
    batch = {
        "source": {**BATCH["source"], "weight": 0 * BATCH["source"]["weight"]},
        "target": BATCH["target"],
    }
    state = state_of(method, rate=1e-4)
    after, metrics = step(method.align, state, batch)
    again = step(
        method.align, state.replace(params={**state.params, "counter": after.params["counter"]}), batch
    )
    assert float(again[1]["adversarial_loss"]) < float(metrics["adversarial_loss"])
    critic = step(
        method.align, state.replace(params={**state.params, "critic": after.params["critic"]}), batch
    )
    assert float(critic[1]["critic_loss"]) < float(metrics["critic_loss"])


def test_the_posterior_is_scikit_learns():
    rng = np.random.default_rng(0)
    known, query = rng.normal(size=(12, 3)).astype(np.float32), rng.normal(size=(5, 3)).astype(np.float32)
    mean, variance = posterior(jnp.asarray(query), jnp.asarray(known), neighbours=12, length=1.3, noise=0.1)
    dense = GaussianProcessRegressor(kernels.RBF(1.3, "fixed"), alpha=0.01, optimizer=None).fit(known, known)
    expected, std = dense.predict(query, return_std=True)
    np.testing.assert_allclose(mean, expected, rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(variance, std[:, 0] ** 2 + 0.01, rtol=1e-2, atol=1e-3)
    near, _ = posterior(
        jnp.asarray(query), jnp.concatenate([known, known + 100]), neighbours=12, length=1.3, noise=0.1
    )
    np.testing.assert_allclose(near, mean, rtol=1e-3, atol=1e-3)


def test_gp_weighs_each_latent_by_what_the_process_is_sure_of():
    method = method_of("gp", bank=12, neighbours=12, length=1.3, noise=0.1)
    rng = np.random.default_rng(0)
    known, query = rng.normal(size=(12, 3)).astype(np.float32), rng.normal(size=(5, 3)).astype(np.float32)
    kernel = kernels.RBF(1.3 * 3**0.5, "fixed")
    dense = GaussianProcessRegressor(kernel, alpha=0.01, optimizer=None).fit(known, known)
    mean, std = dense.predict(query, return_std=True)
    variance = std[:, 0] ** 2 + 0.01
    assert variance.max() > 2 * variance.min()
    expected = np.mean(((query - mean) ** 2).mean(1) / variance + 0.33 * np.log(variance))
    loss, shown = method.distance(jnp.asarray(query), jnp.asarray(known))
    assert float(loss) == pytest.approx(expected, rel=2e-2) and float(shown) == pytest.approx(
        variance.mean(), rel=1e-2
    )


def test_gp_draws_the_targets_latents_to_what_the_labelled_ones_foretell():
    method = method_of("gp", bank=18, neighbours=6, unlabelled_weight=1.0)
    batch = {
        "source": {**BATCH["source"], "weight": 0 * BATCH["source"]["weight"]},
        "target": BATCH["target"],
    }
    state = state_of(method, rate=1e-5)
    state, metrics = step(method.learn, state, batch)
    assert state.params["counter"]["a"] == np.float32(0.01)  # the bank was empty
    bank = state.collections["memory"]["bank"]
    assert int(bank["filled"]) == 18
    drawn = draw({"params": {"a": 0.01}}, batch["source"]["image"], None, None, True)["features"][0]
    np.testing.assert_allclose(bank["latents"][0], np.asarray(drawn)[0, :3, :3].mean((0, 1)), rtol=1e-4)
    after, metrics = step(method.learn, state, batch)
    again = step(
        method.learn, state.replace(params={**state.params, "counter": after.params["counter"]}), batch
    )
    assert after.params["counter"]["a"] != np.float32(0.01)
    assert float(again[1]["gp_loss"]) < float(metrics["gp_loss"])


def test_masks_are_squares_of_the_asked_share():
    image = jnp.full((8, 96, 96, 3), 200, jnp.uint8)
    hidden = np.asarray(mic.masked(image, KEY, 16, 0.7))[..., 0] == 115
    squares = hidden.reshape(8, 6, 16, 6, 16).mean((2, 4))
    assert set(np.unique(squares)) == {0, 1} and 0.6 < squares.mean() < 0.8
    np.testing.assert_array_equal(mic.masked(image, KEY, 16, 0.0), image)


def test_mic_compares_the_masked_crop_with_the_teachers_whole_one():
    method = method_of("mic", consistency_weight=2.0, ramp=0.0, patch=16)
    state = state_of(method)
    state = state.replace(ema={"a": jnp.float32(0.03)})
    after, metrics = step(method.learn, state, BATCH)
    target, (_, _, _, mask_key) = BATCH["target"], jax.random.split(KEY, 4)
    seen = np.asarray(mic.masked(jnp.asarray(target["image"]), mask_key, 16, 0.7))[:, ::8, ::8, :1].astype(
        float
    )
    taught = target["clean"][:, ::8, ::8, :1].astype(float)
    assert float(metrics["consistency_loss"]) == pytest.approx(
        float(np.mean((0.01 * seen - 0.03 * taught) ** 2)), rel=1e-4
    )
    assert float(metrics["loss"]) == pytest.approx(
        float(metrics["density_loss"] + 2 * metrics["consistency_loss"]), rel=1e-5
    )


@pytest.mark.parametrize(
    "name, wrong",
    [("cycle_gan", {"pool": 0}), ("gp", {"neighbours": 5000}), ("mic", {"ratio": 1.0})],
)
def test_wrong_fields_are_refused(name, wrong):
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        method_of(name, **wrong)
