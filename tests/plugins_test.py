"""Every plug-in of the registry holds to the contract of its kind. A new file in its folder is tested here as it is."""

import functools
import json
import shutil
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ml_collections import ConfigDict
from small_methods import BATCH, KEY, draw, method_of, small_fields, state_shapes_of
from small_networks import (
    MODELS,
    SMALL,
    UNCERTAINTIES,
    built,
    count_in_tiles,
    network_of,
    padded,
    picture,
    quick_jit,
    run_of,
)

from cc_jax import build, registry
from cc_jax.counting.counter import Counter
from cc_jax.errors import ConfigError
from cc_jax.training import loop, run
from cc_jax.workdir.layout import Layout
from configs import demo

METHODS = registry.names("methods")
SIZE, FRAME = (77, 101), (96, 128)
CELLS = tuple(-(-side // 8) for side in SIZE)
ROI = np.ones((2, *FRAME, 1), np.uint8)


def disc():
    """A region of interest [1, *FRAME, 1]."""
    y, x = np.mgrid[: FRAME[0], : FRAME[1]]
    return ((y - 40) ** 2 + (x - 60) ** 2 < 35**2)[None, ..., None].astype(np.uint8)


def cells_inside(roi):
    return roi.reshape(len(roi), FRAME[0] // 8, 8, FRAME[1] // 8, 8).any((2, 4))[..., None]


# Models.


@pytest.mark.parametrize("name", MODELS)
def test_padding_changes_nothing_in_a_model(name):
    image, roi = picture(*SIZE, batch=2), ROI[:, : SIZE[0], : SIZE[1]]
    out = run_of(name)(image, roi)
    wide = run_of(name)(padded(image, *FRAME, 255), padded(roi, *FRAME, 0))
    assert out["features"].shape == (2, *CELLS, built(name)[0].mask_channels)
    assert out["density"].shape == (2, *CELLS, 1) and out["density"].dtype == jnp.float32
    assert out["upside_down"].shape == (2, 2) and out["embedding"].ndim == 2
    density, wider = np.asarray(out["density"]), np.asarray(wide["density"])
    assert density.min() >= 0 and density.std() > 0
    np.testing.assert_allclose(
        wider[:, : CELLS[0], : CELLS[1]], density, rtol=1e-4, atol=1e-4 * density.max()
    )
    assert not wider[:, CELLS[0] :].any() and not wider[:, :, CELLS[1] :].any()
    np.testing.assert_allclose(wider.sum((1, 2)), density.sum((1, 2)), rtol=1e-4)
    for output in ("upside_down", "embedding"):
        np.testing.assert_allclose(wide[output], out[output], rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("name", MODELS)
def test_a_model_sees_nothing_outside_the_region_of_interest(name):
    image, other, roi = picture(*FRAME, batch=2), picture(*FRAME, seed=1, batch=2), disc().repeat(2, 0)
    first = run_of(name)(image, roi)
    second = run_of(name)(np.where(roi, image, other), roi)
    for output in first:
        np.testing.assert_array_equal(first[output], second[output])
    density = np.asarray(first["density"])
    assert not density[~cells_inside(roi)].any()
    inside = run_of(name)(np.where(roi, other, image), roi)["density"]
    assert np.abs(inside - density).max() > 1e-4 * density.max()


@pytest.mark.parametrize("name", MODELS)
def test_a_model_masks_its_features_alone(name):
    """A mask for each image, one for all images, and one given by the channels that it keeps."""
    model, variables = built(name)
    image = picture(*FRAME, batch=2)
    out = run_of(name)(image, ROI)
    features, channels = out["features"], model.mask_channels
    kept_Nxm = np.stack([np.random.default_rng(n).permutation(channels)[: channels // 2] for n in range(3)])
    masks_NxC = np.zeros((3, channels), np.float32)
    np.put_along_axis(masks_NxC, kept_Nxm, 1, axis=1)

    @quick_jit
    def decode(features, masks):
        def one(mask):
            return model.apply(variables, features, mask, ROI, method="decode")

        members = model.apply(variables, features, kept_Nxm, ROI, method="decode_members")
        return one(jnp.ones(channels)), one(masks[:2]), jax.vmap(one)(masks), members

    same = functools.partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-4 * float(out["density"].max()))
    plain, by_image, by_mask, members = map(np.asarray, decode(features, masks_NxC))
    same(plain, out["density"])
    same(by_image, np.stack([by_mask[0, 0], by_mask[1, 1]]))
    same(members, by_mask)
    same(by_mask[2], decode(features * masks_NxC[2], np.ones_like(masks_NxC))[0])
    assert np.abs(by_mask[0] - by_mask[1]).max() > 1e-3 * plain.max()


@pytest.mark.parametrize("name", MODELS)
def test_every_parameter_of_a_model_learns(name):
    model, variables = built(name)
    image = picture(*FRAME, batch=2)

    def loss(params):
        out = model.apply({**variables, "params": params}, image, ROI)
        return ((out["density"] - 5) ** 2).mean() + (out["upside_down"][:, 0] ** 2).mean()

    gradients = jax.tree_util.tree_leaves_with_path(quick_jit(jax.grad(loss))(variables["params"]))
    dead = [jax.tree_util.keystr(path) for path, g in gradients if not np.abs(g).max() > 0]
    assert not dead
    assert all(np.isfinite(g).all() for _, g in gradients)


# Uncertainties.


@functools.cache
def draw_of(name):
    """`draw_of(name)(image, roi, rng, train=...)`, compiled."""
    network, variables = network_of("tiny", name)

    @functools.partial(quick_jit, static_argnames="train")
    def drawn(image, roi, rng=KEY, *, train=False):
        return network.draw(variables, image, roi, rng, train=train)

    return drawn


@pytest.mark.parametrize("name", UNCERTAINTIES)
def test_an_uncertainty_draws_samples_of_the_shapes_that_all_others_read(name):
    network, variables = network_of("tiny", name)
    image = picture(*FRAME, batch=2)
    cells, channels = (FRAME[0] // 8, FRAME[1] // 8), network.model.mask_channels
    for train in (False, True):
        out = jax.eval_shape(lambda train=train: network.draw(variables, image, ROI, KEY, train=train))
        networks = out["features"].shape[0]
        assert out["density"].shape[1:] == (2, *cells, 1) and out["density"].dtype == jnp.float32
        assert out["density"].shape[0] == networks if train else out["density"].shape[0] >= networks
        assert out["features"].shape == (networks, 2, *cells, channels)
        assert out["upside_down"].shape == (networks, 2, 2)
        assert out["embedding"].shape[:2] == (networks, 2)


@pytest.mark.parametrize("name", UNCERTAINTIES)
def test_padding_changes_nothing_in_a_sample(name):
    image, roi = picture(*SIZE, batch=2), ROI[:, : SIZE[0], : SIZE[1]]
    density = np.asarray(draw_of(name)(image, roi)["density"])
    wide = np.asarray(draw_of(name)(padded(image, *FRAME, 255), padded(roi, *FRAME, 0))["density"])
    assert density.min() >= 0 and density.std() > 0
    np.testing.assert_allclose(wide.sum((2, 3)), density.sum((2, 3)), rtol=1e-4)
    assert not wide[:, :, CELLS[0] :].any() and not wide[:, :, :, CELLS[1] :].any()


@pytest.mark.parametrize("name", UNCERTAINTIES)
def test_a_sample_sees_nothing_outside_the_region_of_interest(name):
    image, other, roi = picture(*FRAME, batch=2), picture(*FRAME, seed=1, batch=2), disc().repeat(2, 0)
    first = draw_of(name)(image, roi)
    second = draw_of(name)(np.where(roi, image, other), roi)
    for output in first:
        np.testing.assert_array_equal(first[output], second[output])
    assert not np.asarray(first["density"])[:, ~cells_inside(roi)].any()


@pytest.mark.parametrize("name", UNCERTAINTIES)
def test_an_image_has_the_same_samples_whatever_else_is_in_the_batch(name):
    a, b, c = (picture(*FRAME, seed=seed) for seed in range(3))
    first, second, third = (
        np.asarray(draw_of(name)(np.concatenate(two), ROI)["density"]) for two in ((a, b), (a, c), (c, a))
    )
    np.testing.assert_allclose(first[:, 0], second[:, 0], rtol=1e-4, atol=1e-4 * first.max())
    np.testing.assert_allclose(first[:, 0], third[:, 1], rtol=1e-4, atol=1e-4 * first.max())
    assert np.abs(first[:, 1] - second[:, 1]).max() > 1e-3 * first.max()


@pytest.mark.parametrize("name", UNCERTAINTIES)
def test_every_parameter_of_every_network_learns_in_training(name):
    network, variables = network_of("tiny", name)
    image = picture(*FRAME, batch=2)

    def loss(params):
        out = network.draw({**variables, "params": params}, image, ROI, KEY, train=True)
        return ((out["density"] - 5) ** 2).mean() + (out["upside_down"][..., 0] ** 2).mean()

    gradients = jax.tree_util.tree_leaves_with_path(quick_jit(jax.grad(loss))(variables["params"]))
    one = jax.eval_shape(network.model.init, KEY, image[:1], ROI[:1])["params"]
    for (path, g), shape in zip(gradients, jax.tree.leaves(one), strict=True):
        by_network = np.asarray(g).reshape(-1, *shape.shape)
        assert np.isfinite(g).all() and all(x.any() for x in by_network), jax.tree_util.keystr(path)


@pytest.mark.parametrize("name", UNCERTAINTIES)
def test_what_an_uncertainty_keeps_beside_the_parameters_depends_on_the_key_alone(name):
    network, _ = network_of("tiny", name)
    first, again, other = (
        network.uncertainty.collections(jax.random.key(k), network.model) for k in (1, 1, 2)
    )
    jax.tree.map(np.testing.assert_array_equal, first, again)
    changed = jax.tree.leaves(jax.tree.map(lambda x, y: (np.asarray(x) != np.asarray(y)).any(), first, other))
    assert any(changed) or not changed


# Tiles, for each model and for each uncertainty.


@pytest.mark.parametrize(
    "model, uncertainty",
    [*((name, "single") for name in MODELS), *(("tiny", name) for name in UNCERTAINTIES)],
)
def test_tiles_give_what_the_whole_image_gives_or_are_refused(model, uncertainty, monkeypatch):
    """With a region of interest, and sides that are no multiples of 8; with `tiny` several tiles along both sides."""
    network, variables = network_of(model, uncertainty)
    reach = network.model.reach
    image = picture(5 * reach + 3, 5 * reach + 9 if model == "tiny" else 75)
    roi = np.ones((*image.shape[:3], 1), np.uint8)
    roi[0, :50, :60] = 0
    (people, embedding), whole = count_in_tiles(network, variables, image, roi, 2**30, monkeypatch)
    assert not whole and people.std() > 0
    if not network.uncertainty.tileable:
        with pytest.raises(ConfigError, match=uncertainty):
            count_in_tiles(network, variables, image, roi, 1, monkeypatch)
        return
    (in_tiles, of_tiles), windows = count_in_tiles(network, variables, image, roi, 1, monkeypatch)
    assert len(windows) == 1 and windows[0][0] == 4 * reach
    assert in_tiles.shape == people.shape
    np.testing.assert_allclose(in_tiles.sum((2, 3)), people.sum((2, 3)), rtol=1e-5)
    np.testing.assert_allclose(in_tiles, people, rtol=1e-3, atol=1e-4 * people.max())
    np.testing.assert_allclose(of_tiles, embedding, rtol=1e-4, atol=1e-5)


# Methods.


@pytest.mark.parametrize("steps", [8, 101])
@pytest.mark.parametrize("name", METHODS)
def test_every_method_trains_the_counter_for_the_same_number_of_steps(name, steps):
    method = method_of(name, steps)
    stages = method.stages()
    assert sum(stage.steps for stage in stages if stage.counter) == steps
    assert len({stage.name for stage in stages}) == len(stages)
    assert [stage.program for stage in method.stages()] == [stage.program for stage in stages]


@pytest.mark.parametrize("name", METHODS)
def test_the_updates_of_a_method_keep_the_shape_of_the_state_and_report_a_loss(name):
    """What goes into a compiled step must fit what comes out of it."""
    method = method_of(name, **small_fields(name))
    state = state_shapes_of(method)
    assert {*state.params} - {"counter"} == {*method.optimizers()}
    shapes = jax.tree.map(lambda x: (x.shape, x.dtype), state)
    for stage in method.stages():
        # "clean" is part of a set's crops only if the stage asks for it.
        batch = {
            own: {k: v for k, v in BATCH[own].items() if k != "clean" or own in stage.clean}
            for own in stage.draws
        }
        after, metrics = jax.eval_shape(functools.partial(stage.update, draw=draw), state, batch, KEY)
        assert jax.tree.map(lambda x: (x.shape, x.dtype), after) == shapes
        assert "loss" in metrics and all(value.shape == () for value in metrics.values())


# Resuming, for all of them.


def smallest_run(method, model, uncertainty):
    """The config of a run of a few steps with these plug-ins."""
    config = demo.get_config("smoke")
    config.steps, config.augment.crop, config.resize.max_side = 2, 64, 128
    config.checkpoint.every, config.checkpoint.keep, config.evaluation.every_stage = 1, 99, False
    config.source.split, config.target.split, config.target.test_split = "train[:4]", "train[:4]", "test[:2]"
    config.method.name, config.model.name, config.uncertainty.name = method, model, uncertainty
    config.method.ours.teacher = "ema"  # the rounds: loop_test.py
    # Without the spatial encoder and Muon it compiles in half of the time. Muon's state is part of one run.
    config.optimizer.name = "muon" if uncertainty == "single" else "adamw"
    small_model = {**SMALL["models"], "spatial_kernel_size": 0}
    smalls = (small_fields(method), small_model, SMALL["uncertainty"])
    for section, small in zip((config.method, config.model, config.uncertainty), smalls, strict=True):
        own = section.get(section.name, {})
        for field in {*own} & {*small}:
            own[field] = small[field]
    return config


# (method, model, uncertainty): each plug-in once, each combination once.
COMBINATIONS = sorted(
    {(method, "tiny", "masksembles") for method in METHODS}
    | {("no_adapt", model, "masksembles") for model in MODELS}
    | {("no_adapt", "tiny", uncertainty) for uncertainty in UNCERTAINTIES}
)


@pytest.fixture
def programs_compiled_once(monkeypatch):
    """The runs of a test, which have one config, share their compiled programs."""

    def once(make):
        made = []

        def get(*args):
            if not made:
                made.append(make(*args))
            return made[0]

        return get

    # One method as well: the steps of another one, equal as it may be, are other programs. Counter.load makes its abstract
    # state elsewhere, without a method.
    shared = {name: once(getattr(build, name)) for name in ("method", "abstract_state")}
    of_run = SimpleNamespace(**{**vars(build), **shared})
    monkeypatch.setattr(run, "build", of_run)
    monkeypatch.setattr(run, "make_sampler", once(run.make_sampler))
    monkeypatch.setattr(loop, "StepCompiler", once(loop.StepCompiler))


@pytest.mark.slow
@pytest.mark.parametrize("method, model, uncertainty", COMBINATIONS)
def test_a_run_goes_on_from_any_checkpoint_to_the_same_bits(
    method, model, uncertainty, tmp_path, programs_compiled_once
):
    """As after kill -9, which loop_test.py tests: only the checkpoints up to the first one or the last but one are left."""
    config = smallest_run(method, model, uncertainty)
    whole = loop.train_and_adapt(config, tmp_path / "whole")
    # The counter's steps, whatever else was trained.
    assert whole[-1]["step"] == Counter.load(tmp_path / "whole").step == config.steps
    steps = sorted(int(path.stem) for path in Layout(tmp_path / "whole").manifests.glob("*.json"))
    for last in {steps[0], steps[-2]}:
        kept = Layout(tmp_path / f"from{last}")
        shutil.copytree(tmp_path / "whole", kept.root)
        for path in (kept.results, *kept.stages.glob("*.json")):
            path.unlink()
        for step in steps:
            if step > last:
                shutil.rmtree(kept.checkpoints / str(step))
                (kept.manifests / f"{step}.json").unlink()
        assert loop.train_and_adapt(config, kept.root) == whole


# Building, for all of them.

SECTIONS = {"methods": "method", "models": "model", "uncertainty": "uncertainty"}


@pytest.mark.parametrize("kind", SECTIONS)
def test_a_config_builds_every_plug_in(kind):
    """With the defaults of its section, and with tuples where a workdir's JSON has lists."""
    fields = json.loads(json.dumps(demo.get_config().to_dict()))
    for name in registry.names(kind):
        config = ConfigDict(fields)
        config[SECTIONS[kind]].name = name
        network = build.counting_network(config)
        made = {
            "methods": build.method(config),
            "models": network.model,
            "uncertainty": network.uncertainty,
        }[kind]
        assert type(made).__module__ == f"cc_jax.{kind}.{name}"
        hash(made)
        own = demo.get_config()[SECTIONS[kind]].get(name, {})
        assert {field.name for field in registry.fields(kind, name)} == {*own}
        assert {field: getattr(made, field) for field in own if field != "inner"} == {
            field: value for field, value in own.items() if field != "inner"
        }
