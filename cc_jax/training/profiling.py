"""How fast a run trains, in figures that mean something on any device: images, waiting for data, share of the peak."""

import functools
import math
import pathlib
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import jax
import jax.numpy as jnp

from cc_jax.errors import ConfigError

_SIDES = {"cpu": 1024}  # of the matrices whose product gives the peak
_SIDE = 8192


def operations(jaxpr: Any) -> int:
    """Additions and multiplications in a program's matrix products and convolutions, all devices together.

    Args:
      jaxpr: of `jax.jit(f).trace(...)` or `jax.make_jaxpr`.
    Loops count as often as they run, of branches the longest counts. A `while` without a known end counts once; positions of
    a convolution that fall on padding count too, those on zeros between an input's pixels (strides backwards) do not.
    """
    jaxpr = getattr(jaxpr, "jaxpr", jaxpr)
    return sum(_of_equation(equation) for equation in jaxpr.eqns)


def _of_equation(equation: Any) -> int:
    name, params = equation.primitive.name, equation.params
    if name == "dot_general":
        (contracted, _), _ = params["dimension_numbers"]
        shape = equation.invars[0].aval.shape
        return 2 * equation.outvars[0].aval.size * math.prod(shape[d] for d in contracted)
    if name == "conv_general_dilated":
        kernel, spec = equation.invars[1].aval.shape, params["dimension_numbers"].rhs_spec
        taps = math.prod(kernel[d] for d in spec[1:])  # input channels and window
        return 2 * equation.outvars[0].aval.size * taps // math.prod(params["lhs_dilation"])
    inner = [operations(one) for value in params.values() for one in _programs(value)]
    if name == "cond":
        return max(inner, default=0)
    return sum(inner) * (params["length"] if name == "scan" else 1)


def _programs(value: Any) -> Iterator[Any]:
    for one in value if isinstance(value, (tuple, list)) else (value,):
        if hasattr(one, "eqns") or hasattr(one, "jaxpr"):
            yield one


@functools.cache
def matrix_rate(dtype: str) -> float:
    """Operations a second of one device in a large square matrix product of this dtype, the best of five."""
    side = _SIDES.get(jax.default_backend(), _SIDE)
    device = jax.local_devices()[0]
    a = jax.device_put(jnp.ones((side, side), dtype), device)
    product = jax.jit(jnp.matmul)
    product(a, a).block_until_ready()
    best = math.inf
    for _ in range(5):
        start = time.perf_counter()
        product(a, a).block_until_ready()
        best = min(best, time.perf_counter() - start)
    return 2 * side**3 / best


def tracer(steps: str, folder: pathlib.Path) -> Callable[[int | None, Any], None]:
    """A function to call before each step with its number, and with None after the last: profiles some of them.

    Args:
      steps: "FIRST:LAST", both profiled; "" profiles none. Raises ConfigError for anything else.
      folder: where the trace is written, for TensorBoard or Perfetto.
    The function's second argument is waited for before the trace begins and ends: it holds these steps and no others.
    """
    if not steps:
        return lambda step, pending: None
    first, last = span_of(steps)
    running = False

    def trace(step: int | None, pending: Any) -> None:
        nonlocal running
        if not running and step is not None and first <= step <= last:
            jax.block_until_ready(pending)
            jax.profiler.start_trace(str(folder), create_perfetto_trace=True)
            running = True
        elif running and (step is None or step > last):
            jax.block_until_ready(pending)
            jax.profiler.stop_trace()
            running = False
            print(f"profile of steps {steps}: {folder}", flush=True)

    return trace


def span_of(steps: str) -> tuple[int, int]:
    """(first, last) of "FIRST:LAST"; raises ConfigError."""
    first, _, last = steps.partition(":")
    if not (first.isdecimal() and last.isdecimal() and 0 < int(first) <= int(last)):
        raise ConfigError(f"config.profile_steps={steps!r}: give FIRST:LAST, for example 10:15")
    return int(first), int(last)


class Meter:
    """Steps, images and operations since it was last read, and the time that they took.

    Args:
      peak: operations a second that all devices could do.
    """

    def __init__(self, peak: float):
        self._peak = peak
        self._reset()

    def _reset(self) -> None:
        self._begin, self._waited = time.monotonic(), 0.0
        self._steps = self._images = self._operations = 0

    def waiting(self, batches: Iterable[Any]) -> Iterator[Any]:
        """The batches; what the loop waits for them is counted."""
        batches, end = iter(batches), object()
        while True:
            start = time.monotonic()
            batch = next(batches, end)
            self._waited += time.monotonic() - start
            if batch is end:
                return
            yield batch

    def add(self, images: int, operations: int) -> None:
        """Counts a step."""
        self._steps += 1
        self._images += images
        self._operations += operations

    def read(self) -> dict[str, float]:
        """What a row of log.jsonl says, from here on anew; asked when the steps' results have come.

        `steps_per_s`; `images_per_s`, crops of all sets; `data_wait`, the share of the time in which the loop had nothing to
        do; `tflops`, operations a second in 10^12; `peak_share`, these over those of a large matrix product.
        """
        seconds = time.monotonic() - self._begin
        rate = self._operations / seconds
        row = {
            "steps_per_s": self._steps / seconds,
            "images_per_s": self._images / seconds,
            "data_wait": self._waited / seconds,
            "tflops": rate / 1e12,
            "peak_share": rate / self._peak,
        }
        self._reset()
        return row
