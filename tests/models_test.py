"""Sizes, heads and number types of models, and the layers that they share. plugins_test.py tests their contract."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from small_methods import quick_jit
from small_networks import built, padded, picture, run_of

from cc_jax import registry
from cc_jax.errors import ConfigError
from cc_jax.models.parts import convolution, decoder, layers


def test_tiny_is_tiny():
    model = registry.load("models", "tiny").Model()
    shapes = jax.eval_shape(
        model.init, jax.random.key(0), jnp.zeros((1, 32, 32, 3)), jnp.ones((1, 32, 32, 1))
    )
    assert 200_000 < sum(x.size for x in jax.tree.leaves(shapes["params"])) < 300_000


def test_sfcn_has_the_papers_shapes():
    model = registry.load("models", "sfcn").Model(head="code")
    image, roi = jnp.zeros((1, 32, 32, 3)), jnp.ones((1, 32, 32, 1))
    params = jax.eval_shape(model.init, jax.random.key(0), image, roi)["params"]
    assert [params["encoder"][f"conv{i}"]["kernel"].shape[-1] for i in (0, 2, 4, 7, 9)] == [
        64,
        128,
        256,
        512,
        512,
    ]
    assert [params["rest"][f"conv{i}"]["kernel"].shape[-1] for i in range(5)] == [512, 512, 256, 128, 64]
    assert model.mask_channels == 512
    assert (
        params["spatial"]["down_up_kernel"].shape
        == params["spatial"]["left_right_kernel"].shape
        == (9, 64, 64)
    )
    assert params["upside_down"]["logits"]["kernel"].size == 1_572_864  # "1.57 M weights" of the paper's code


def test_bfloat16_is_near_float32_and_counts_in_float32():
    image, roi = picture(64, 64), np.ones((1, 64, 64, 1), np.uint8)
    density = run_of("tiny")(image, roi)["density"]
    half = run_of("tiny", dtype="bfloat16")(image, roi)
    assert half["features"].dtype == jnp.bfloat16
    assert half["density"].dtype == half["upside_down"].dtype == half["embedding"].dtype == jnp.float32
    assert 0 < np.abs(half["density"] - density).max() < 0.1 * density.max()


def test_code_head_fits_any_size_and_ignores_padding():
    image, roi = picture(72, 88), np.ones((1, 72, 88, 1), np.uint8)
    run = run_of("tiny", head="code")
    logits = run(image, roi)["upside_down"]
    wide = run(padded(image, 96, 128, 7), padded(roi, 96, 128, 0))["upside_down"]
    np.testing.assert_allclose(wide, logits, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("field, value", [("head", "figur"), ("output", "exp")])
def test_wrong_field_is_named(field, value):
    model = registry.load("models", "tiny").Model(**{field: value})
    with pytest.raises(ConfigError, match=f"model.{field} is '{value}'"):
        model.init(jax.random.key(0), jnp.zeros((1, 16, 16, 3)), jnp.ones((1, 16, 16, 1)))


def test_normalisation_travels_with_the_variables():
    model, variables = built("tiny")
    assert {k: v.shape for k, v in variables["norm"].items()} == {"mean": (3,), "std": (3,)}
    image, roi = picture(32, 32), np.ones((1, 32, 32, 1), np.uint8)
    shifted = {**variables, "norm": {"mean": jnp.zeros(3), "std": jnp.ones(3)}}
    plain = (image / 255 - variables["norm"]["mean"]) / variables["norm"]["std"] * 255
    a = model.apply(variables, image, roi)["density"]
    b = model.apply(shifted, plain, roi)["density"]
    np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-4)


# Layers


def reference_scan(f, kernel, bias):
    """convDU of SFCN in plain loops."""
    h, w, _ = f.shape

    def step(row):
        out = np.tile(bias, (w, 1))
        for x in range(w):
            for t in range(len(kernel)):
                if 0 <= x + t - len(kernel) // 2 < w:
                    out[x] += row[x + t - len(kernel) // 2] @ kernel[t]
        return np.maximum(out, 0)

    o = f.copy()
    for i in range(1, h):
        o[i] = step(o[i - 1]) + o[i]
    for i in range(h - 2, -1, -1):
        o[i] = step(o[i + 1]) + o[i]
    return o


def test_scan_rows_is_the_recurrence():
    rng = np.random.default_rng(0)
    f, kernel, bias = rng.normal(size=(5, 7, 3)), rng.normal(size=(9, 3, 3)) * 0.2, rng.normal(size=3)
    roi = jnp.ones((1, 5, 7, 1))
    ours = layers.scan_rows(
        jnp.float32(f[None]), roi, lambda row: convolution.convolve_row(row, kernel) + bias
    )
    np.testing.assert_allclose(ours[0], reference_scan(f, kernel, bias), rtol=1e-4, atol=1e-4)


def test_spatial_encoder_goes_down_up_then_left_right():
    rng = np.random.default_rng(1)
    f = rng.normal(size=(4, 6, 2))
    params = {f"{name}_kernel": rng.normal(size=(3, 2, 2)) * 0.3 for name in ("down_up", "left_right")}
    params |= {f"{name}_bias": rng.normal(size=2) for name in ("down_up", "left_right")}
    module = decoder.SpatialEncoder(3, 2, "normal", "float32")
    params = jax.tree.map(jnp.float32, params)
    ours = module.apply({"params": params}, jnp.float32(f[None]), jnp.ones((1, 4, 6, 1)))
    o = reference_scan(f, np.asarray(params["down_up_kernel"]), np.asarray(params["down_up_bias"]))
    kernel, bias = (np.asarray(params[f"left_right_{part}"]) for part in ("kernel", "bias"))
    turned = reference_scan(o.swapaxes(0, 1), kernel, bias)
    np.testing.assert_allclose(ours[0], turned.swapaxes(0, 1), rtol=1e-4, atol=1e-4)


def plain_convolution(x, kernel, stride, dilation, padding="SAME", groups=1):
    return jax.lax.conv_general_dilated(
        x, kernel, (stride, stride), padding, rhs_dilation=(dilation, dilation),
        dimension_numbers=("NHWC", "HWIO", "NHWC"), feature_group_count=groups,
    )  # fmt: skip


def same_with_gradients(ours, reference, *arguments):
    """Values and gradients agree."""

    @functools.partial(quick_jit, static_argnums=0)
    def both(function, g, *arguments):
        out, pull = jax.vjp(function, *arguments)
        return out, *pull(g)

    g = jax.random.normal(jax.random.key(9), jax.eval_shape(reference, *arguments).shape)
    for a, b in zip(both(ours, g, *arguments), both(reference, g, *arguments), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-3)


# (height, width), (kernel), stride, dilation: even and odd, smaller than the window.
WINDOWS = [((9, 6), (3, 3), 1, 2), ((8, 8), (5, 5), 2, 1), ((7, 9), (3, 3), 2, 1), ((2, 3), (5, 5), 1, 2)]


@pytest.mark.parametrize("shape, size, stride, dilation", [*WINDOWS, ((4, 5), (1, 1), 1, 1)])
def test_convolve_is_the_convolution(shape, size, stride, dilation):
    x = jax.random.normal(jax.random.key(0), (2, *shape, 5))
    kernel = jax.random.normal(jax.random.key(1), (*size, 5, 4))
    same_with_gradients(
        lambda x, k: convolution.convolve(x, k, stride=stride, dilation=dilation),
        lambda x, k: plain_convolution(x, k, stride, dilation),
        x,
        kernel,
    )


@pytest.mark.parametrize("rows_of_a_block", ["all", "one"])
@pytest.mark.parametrize(
    "shape, size, dilation, padding",
    [
        ((6, 9), (3, 3), 2, ((2, 2), (2, 2))),
        ((12, 8), (3, 3), 1, ((0, 0), (0, 0))),
        ((10, 7), (2, 4), 1, ((1, 0), (2, 1))),
        ((6, 5), (5, 3), 1, ((1, 3), (0, 2))),
        ((3, 2), (5, 5), 1, ((2, 2), (2, 2))),
    ],
)
def test_kernel_gradient_of_blocks_is_that_of_the_convolution(
    shape, size, dilation, padding, rows_of_a_block, monkeypatch
):
    """The code for many channels on one CPU device, here with few channels: any window and padding, one block and many."""
    monkeypatch.setattr(convolution, "_CHANNELS", 0)
    for name in ("_BLOCK_BYTES", "_BLOCK_POSITIONS"):
        monkeypatch.setattr(convolution, name, 1 if rows_of_a_block == "one" else 1e9)
    x = jax.random.normal(jax.random.key(0), (2, *shape, 5))
    kernel = jax.random.normal(jax.random.key(1), (*size, 5, 4))

    def ours(x, kernel):
        return convolution.convolve(x, kernel, dilation=dilation, padding=padding)

    gradient = str(jax.make_jaxpr(jax.grad(lambda k: ours(x, k).sum()))(kernel))
    assert ("scan" in gradient) == (rows_of_a_block == "one")
    same_with_gradients(ours, lambda x, k: plain_convolution(x, k, 1, dilation, padding), x, kernel)


@pytest.mark.parametrize(
    "shape, dilation, padding",
    [
        ((8, 8), 1, ((1, 1), (1, 1))),
        ((7, 12), 2, ((2, 2), (2, 2))),
        ((13, 5), 3, ((3, 3), (4, 1))),
        ((6, 9), 1, ((1, 0), (2, 1))),
    ],
)
def test_winograd_is_the_convolution(shape, dilation, padding, monkeypatch):
    """The code for many channels in large images on one CPU device, here with few channels in small images."""
    for name in ("_CHANNELS", "_WINOGRAD_CHANNELS", "_WINOGRAD_PRODUCTS"):
        monkeypatch.setattr(convolution, name, 0)
    x = jax.random.normal(jax.random.key(0), (2, *shape, 5))
    kernel = jax.random.normal(jax.random.key(1), (3, 3, 5, 4))

    @jax.jit
    def ours(x, kernel):
        return convolution.convolve(x, kernel, dilation=dilation, padding=padding)

    assert "conv_general" not in str(jax.make_jaxpr(ours)(x, kernel))
    same_with_gradients(ours, lambda x, k: plain_convolution(x, k, 1, dilation, padding), x, kernel)


def test_winograd_is_used_only_where_it_is_faster():
    """An image of 768x1024 does; a crop of 256x256, bfloat16 and few channels do not."""

    def takes(height, width, channels, dtype=jnp.float32):
        x = jax.ShapeDtypeStruct((1, height, width, channels), dtype)
        kernel = jax.ShapeDtypeStruct((3, 3, channels, channels), dtype)
        return "conv_general" not in str(jax.make_jaxpr(convolution.convolve)(x, kernel))

    assert takes(96, 128, 512) and takes(384, 512, 128)
    assert not takes(32, 32, 512) and not takes(128, 128, 128)
    assert not takes(96, 128, 512, jnp.bfloat16) and not takes(768, 1024, 64)


@pytest.mark.parametrize("shape, size, stride, dilation", WINDOWS)
def test_depthwise_is_the_grouped_convolution(shape, size, stride, dilation):
    x = jax.random.normal(jax.random.key(0), (2, *shape, 5))
    kernel = jax.random.normal(jax.random.key(1), (*size, 5))
    same_with_gradients(
        lambda x, k: convolution.depthwise(x, k, stride, dilation),
        lambda x, k: plain_convolution(x, k[:, :, None], stride, dilation, groups=5),
        x,
        kernel,
    )


def test_rms_norm_is_flax_rms_norm_and_keeps_zeros():
    x = jax.random.normal(jax.random.key(0), (2, 3, 4, 16)) * 7
    theirs = nn.RMSNorm(use_scale=False, epsilon=1e-6)
    np.testing.assert_allclose(layers.rms_norm(x), theirs.apply({}, x), rtol=1e-5)
    zeros = jnp.zeros((1, 2, 2, 8))
    np.testing.assert_array_equal(layers.rms_norm(zeros), zeros)
    assert np.isfinite(jax.grad(lambda x: layers.rms_norm(x).sum())(zeros)).all()


def test_max_pool_is_flax_max_pool():
    x = jax.random.normal(jax.random.key(0), (2, 6, 8, 3))
    same_with_gradients(layers.max_pool, lambda x: nn.max_pool(x, (2, 2), (2, 2)), x)
    even = jax.grad(lambda x: layers.max_pool(x).sum())(jnp.ones((1, 2, 2, 1)))
    np.testing.assert_array_equal(even, np.full((1, 2, 2, 1), 0.25))


def test_region_pyramid_keeps_every_touched_cell():
    roi = np.zeros((1, 20, 16, 1), np.uint8)
    roi[0, 19, 5] = 255
    pyramid = layers.roi_pyramid(jnp.asarray(roi))
    assert {s: level.shape[1:3] for s, level in pyramid.items()} == {
        1: (24, 16),
        2: (12, 8),
        4: (6, 4),
        8: (3, 2),
    }
    for stride, level in pyramid.items():
        assert level.sum() == 1 and level[0, 19 // stride, 5 // stride, 0] == 1


def test_adaptive_mean_is_torchs():
    torch = pytest.importorskip("torch", reason="torch is not installed")
    x = np.random.default_rng(0).normal(size=(2, 13, 7, 3)).astype(np.float32)
    for size in ((4, 3), (20, 9), (13, 7)):
        expected = torch.nn.functional.adaptive_avg_pool2d(torch.tensor(x).permute(0, 3, 1, 2), size).permute(
            0, 2, 3, 1
        )
        ours = layers.adaptive_mean(jnp.asarray(x), jnp.ones((2, 13, 7, 1)), *size)
        np.testing.assert_allclose(ours, expected.numpy(), rtol=1e-4, atol=1e-5)


def test_reviving_relu_learns_from_below_zero_only_upwards():
    x = jnp.array([-1.0, -1.0, 2.0, 2.0])
    target = jnp.array([3.0, 0.0, 3.0, 1.0])
    value, gradient = jax.value_and_grad(lambda x: ((decoder.reviving_relu(x) - target) ** 2).sum())(x)
    np.testing.assert_allclose(value, 9 + 0 + 1 + 1)
    np.testing.assert_allclose(gradient, [-6, 0, -2, 2])
