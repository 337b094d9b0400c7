"""Counting operations, measuring rates, profiling steps."""

import pathlib
import time

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from cc_jax.errors import ConfigError
from cc_jax.models.parts import vgg
from cc_jax.training import profiling


def of(function, *arguments):
    return profiling.operations(jax.make_jaxpr(function)(*arguments))


def test_a_product_and_a_convolution():
    a, b = jnp.ones((3, 4, 5)), jnp.ones((3, 5, 7))
    assert of(jnp.matmul, a, b) == 2 * 3 * 4 * 5 * 7
    x, kernel = jnp.ones((2, 9, 8, 6)), jnp.ones((3, 3, 2, 12))
    convolve = lambda x, k: lax.conv_general_dilated(  # noqa: E731
        x, k, (2, 1), "VALID", dimension_numbers=("NHWC", "HWIO", "NHWC"), feature_group_count=3
    )
    assert of(convolve, x, kernel) == 2 * (2 * 4 * 6 * 12) * (3 * 3 * 2)


@pytest.mark.parametrize("stride", [1, 2])
def test_the_gradient_of_a_convolution_costs_twice_the_convolution(stride):
    conv = nn.Conv(8, (3, 3), (stride, stride), padding="VALID")
    x = jnp.ones((2, 33, 33, 4))
    params = conv.init(jax.random.key(0), x)
    forward = of(conv.apply, params, x)
    both = of(
        lambda p, x: jax.vjp(conv.apply, p, x)[1](jnp.ones((2, *2 * [32 // stride - (stride == 1)], 8))),
        params,
        x,
    )
    # Not exactly, because at stride 2 positions beyond the border are counted too.
    assert both == pytest.approx(3 * forward, rel=0.15)


def test_loops_count_as_often_as_they_run_and_branches_as_the_longest():
    a = jnp.ones((4, 4))
    once = of(jnp.matmul, a, a)
    assert of(lambda a: lax.scan(lambda c, _: (c @ a, None), a, None, length=5)[0], a) == 5 * once
    branch = lambda a: lax.cond(a[0, 0] > 0, lambda a: a @ a @ a, lambda a: a, a)  # noqa: E731
    assert of(jax.jit(branch), a) == 2 * once
    assert of(jax.checkpoint(lambda a: a @ a), a) == once


def test_vgg_has_its_known_number_of_operations():
    """The ten convolutions of VGG-16 up to conv4_3 at 224x224: 14.0 of the 15.3 billion multiply-adds, by their shapes."""
    sides = [224, 224, 112, 112, 56, 56, 56, 28, 28, 28]
    channels = [3, 64, 64, 128, 128, 256, 256, 256, 512, 512, 512]
    expected = sum(2 * s * s * 9 * a * b for s, a, b in zip(sides, channels, channels[1:], strict=False))
    encoder = vgg.VGG()
    image = jnp.ones((1, 224, 224, 3))
    pyramid = {s: jnp.ones((1, 224 // s, 224 // s, 1)) for s in (1, 2, 4, 8)}
    shapes = jax.eval_shape(encoder.init, jax.random.key(0), image, pyramid)
    found = profiling.operations(jax.make_jaxpr(encoder.apply)(shapes, image, pyramid))
    assert found == expected


def test_a_meter_tells_waiting_from_working(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])

    def slow():
        for _ in range(3):
            now[0] += 3.0
            yield None

    meter = profiling.Meter(peak=400.0)
    for _ in meter.waiting(slow()):
        now[0] += 1.0
        meter.add(images=8, operations=200)
    row = meter.read()
    assert row == pytest.approx(
        {"steps_per_s": 0.25, "images_per_s": 2.0, "data_wait": 0.75, "tflops": 50e-12, "peak_share": 0.125}
    )
    now[0] += 2.0
    meter.add(images=1, operations=1)
    assert meter.read()["steps_per_s"] == 0.5


def test_a_profile_holds_the_asked_steps_and_no_others(monkeypatch, tmp_path):
    events = []
    monkeypatch.setattr(jax.profiler, "start_trace", lambda folder, **_: events.append("start"))
    monkeypatch.setattr(jax.profiler, "stop_trace", lambda: events.append("stop"))
    for last in (9, 4):
        trace = profiling.tracer("3:4", tmp_path)
        for step in [*range(1, last + 1), None]:
            trace(step, np.zeros(1))
            events.append(step)
        assert events == [1, 2, "start", 3, 4, "stop", *range(5, last + 1), None]
        events.clear()


@pytest.mark.parametrize("wrong", ["3", "4:3", "0:2", "a:b", "1:2:3"])
def test_wrong_steps_are_refused(wrong):
    with pytest.raises(ConfigError, match="FIRST:LAST"):
        profiling.tracer(wrong, pathlib.Path())
