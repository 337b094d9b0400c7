"""base.Wrapper: a method around another changes its steps and nothing else."""

import dataclasses
import functools
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from small_methods import BATCH, crops, method_of, small_fields, state_of, state_shapes_of, step, unused

from cc_jax import build
from cc_jax.errors import ConfigError
from cc_jax.methods import base, ours
from cc_jax.optimization import gradient_accumulation
from cc_jax.optimization.train_state import TrainState
from configs import default


@dataclasses.dataclass(frozen=True)
class Doubled(base.Wrapper):
    """The inner method on source images of twice the brightness."""

    def wrap_update(self, update, state, batch, rng, draw):
        source = {**batch["source"], "image": 2 * jnp.asarray(batch["source"]["image"], jnp.float32)}
        return update(state, {**batch, "source": source}, rng, draw)


@dataclasses.dataclass(frozen=True)
class Shrunk(base.Wrapper):
    """The inner method with half of the counter's squared parameter in its loss."""

    def wrap_update(self, update, state, batch, rng, draw):
        def half_square(params):
            return params["a"] ** 2 / 2, {"half_square": params["a"] ** 2 / 2}

        return base.add_loss(update, half_square, state, batch, rng, draw)


@dataclasses.dataclass(frozen=True)
class Clean(Doubled):
    """Asks for clean crops of the source too."""

    def wrap_stage(self, stage):
        return dataclasses.replace(super().wrap_stage(stage), clean=("source",))


OURS = ours.Method(steps=8, label_scale=100.0, teacher="rounds")


def around(wrapper, inner):
    return wrapper(steps=inner.steps, label_scale=inner.label_scale, inner=inner)


def test_the_inner_methods_step_is_run_on_what_the_wrapper_makes_of_the_batch():
    method = around(Doubled, OURS)
    state = state_of(method, rate=1e-3)
    bright = {**BATCH, "source": {**BATCH["source"], "image": 2.0 * BATCH["source"]["image"]}}
    for wrapped, plain in zip(method.stages(), OURS.stages(), strict=True):
        found, expected = step(wrapped.update, state), step(plain.update, state, bright)
        unchanged = step(plain.update, state)
        jax.tree.map(functools.partial(np.testing.assert_allclose, rtol=1e-6), found, expected)
        assert found[1]["density_loss"] != unchanged[1]["density_loss"]


def test_everything_else_is_the_inner_methods():
    method = around(Doubled, OURS)
    for wrapped, plain in zip(method.stages(), OURS.stages(), strict=True):
        assert dataclasses.replace(wrapped, update=plain.update) == plain
    for name in ("gp", "supervised", "cycle_gan"):
        inner = method_of(name, **small_fields(name))
        method = around(Doubled, inner)
        assert method.uses_target_labels == inner.uses_target_labels
        for part in ("params", "opt", "collections"):
            assert getattr(state_shapes_of(method), part) == getattr(state_shapes_of(inner), part)
    translate, count = method.stages()
    assert translate == inner.stages()[0], "a stage that does not train the counter stays as it is"
    assert count.update == base.WrappedUpdate(method, inner.count)
    kept = []
    finishing = around(Doubled, dataclasses.replace(method_of("se_cycle_gan_jt"), translate_steps=2))
    sets = {"source": base.TrainSet([])}
    state = mock.Mock(TrainState, params={"translator": None})
    finishing.finish(
        state,
        sets,
        base.StageTools(unused, unused, lambda name, *_: kept.append(name)),
    )
    assert kept == ["translated"]


def test_rounds_of_a_wrapped_method_share_one_compiled_step():
    stage1, *rounds = around(Doubled, OURS).stages()
    assert len(rounds) == 2 and len({stage.program for stage in rounds}) == 1
    assert stage1.program != rounds[0].program
    assert rounds[0].program != around(Shrunk, OURS).stages()[1].program


def test_a_wrapper_may_change_the_crops_of_a_stage():
    assert {stage.clean for stage in around(Clean, OURS).stages()} == {("source",)}


def test_an_extra_loss_is_part_of_the_step():
    """Of plain descent on f + g: the gradient of g = a^2 / 2 is a."""
    inner = method_of("no_adapt")
    method = around(Shrunk, inner)
    state = state_of(method, rate=0.1)
    (stage,), (plain,) = method.stages(), inner.stages()
    after, metrics = step(stage.update, state)
    alone, own = step(plain.update, state)
    a = float(state.params["counter"]["a"])
    assert float(after.params["counter"]["a"]) == pytest.approx(
        float(alone.params["counter"]["a"]) - 0.1 * a, rel=1e-5
    )
    assert float(metrics["loss"]) == pytest.approx(float(own["loss"]) + a**2 / 2, rel=1e-6)
    assert (
        float(metrics["half_square"]) == pytest.approx(a**2 / 2)
        and metrics["density_loss"] == own["density_loss"]
    )
    assert after.txs == state.txs


def test_an_extra_loss_in_a_batch_of_parts_and_under_clipping():
    """The optimizer sees the sum of both gradients, once."""
    method = around(Shrunk, method_of("no_adapt"))
    (stage,) = method.stages()
    batch = {"source": crops(0, number=6)}
    seen = []
    for parts in (1, 3):
        state = state_of(method)
        clipped = optax.chain(optax.clip_by_global_norm(1e-3), optax.sgd(1.0))
        state = state.replace(
            txs={"counter": clipped}, opt={"counter": clipped.init(state.params["counter"])}
        )
        after, _ = step(gradient_accumulation.in_parts(stage.update, parts), state, batch)
        seen.append(float(after.params["counter"]["a"]))
    assert seen[0] == pytest.approx(seen[1], rel=1e-5)
    assert abs(seen[0] - 0.01) == pytest.approx(1e-3, rel=1e-3)


@pytest.fixture
def cutouts(tmp_path, monkeypatch):
    """Two wrappers in a folder of plug-ins, and the config with them."""
    (tmp_path / "methods").mkdir()
    for name in ("outer", "middle"):
        (tmp_path / "methods" / f"{name}.py").write_text(
            "import dataclasses\nfrom cc_jax.methods import base\n\n"
            "@dataclasses.dataclass(frozen=True)\nclass Method(base.Wrapper):\n    share: float = 0.5\n"
        )
    monkeypatch.setenv("CC_JAX_PLUGINS", str(tmp_path))
    config = default.get_config()
    config.method.name = "outer"
    return config


def test_a_config_builds_a_wrapper_around_a_wrapper_around_a_method(cutouts):
    cutouts.method.outer.inner, cutouts.method.middle.inner = "middle", "gp"
    cutouts.method.outer.share, cutouts.method.gp.bank = 0.25, 99
    outer = build.method(cutouts)
    assert (outer.share, outer.inner.share, outer.inner.inner.bank) == (0.25, 0.5, 99)
    assert outer.steps == outer.inner.inner.steps == cutouts.steps
    assert default.get_config().method.outer.inner == "ours"


@pytest.mark.parametrize(
    "inner, words", [("outer", "cannot be wrapped by itself"), ("our", "did you mean 'ours'")]
)
def test_what_cannot_be_wrapped_is_told(cutouts, inner, words):
    cutouts.method.outer.inner, cutouts.method.middle.inner = "middle", inner
    with pytest.raises(ConfigError, match=words):
        build.method(cutouts)
