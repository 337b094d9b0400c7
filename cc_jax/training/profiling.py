"""How fast a run trains: images per second, time spent waiting for data, share of the device's peak rate."""

import functools
import math
import pathlib
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import jax
import jax.numpy as jnp

from cc_jax.errors import ConfigError

# Side of the square matrices whose product gives the peak rate, by backend; `_SIDE` for the others.
_SIDES = {"cpu": 1024}
_SIDE = 8192


def operations(jaxpr: Any) -> int:
    """Return the number of additions and multiplications in a program's matrix products and convolutions.

    A loop counts as often as it runs; a `while` loop, whose number of passes is unknown, counts once. Of several branches
    the most expensive one counts. Positions of a convolution that fall on padding are counted. Positions that fall on the
    zeros between the pixels of a dilated input, as in the gradient of a strided convolution, are not.

    Args:
      jaxpr: of `jax.jit(f).trace(...)` or `jax.make_jaxpr`. Its operations are those of all devices together.
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
        # Input channels times window.
        taps = math.prod(kernel[d] for d in spec[1:])
        return 2 * equation.outvars[0].aval.size * taps // math.prod(params["lhs_dilation"])
    inner = [operations(one) for value in params.values() for one in _programs(value)]
    if name == "cond":
        return max(inner, default=0)
    return sum(inner) * (params["length"] if name == "scan" else 1)


def _programs(value: Any) -> Iterator[Any]:
    """The programs in a parameter of an equation: the bodies of loops, branches and calls."""
    for one in value if isinstance(value, (tuple, list)) else (value,):
        if hasattr(one, "eqns") or hasattr(one, "jaxpr"):
            yield one


@functools.cache
def matrix_rate(dtype: str) -> float:
    """Return the operations per second of one device in a large square matrix product, the best of five runs."""
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
    """Return a function that profiles some steps: call it before each step, and once after the last.

    Args:
      steps: "FIRST:LAST", both included; "" profiles nothing.
      folder: where the trace is written, for TensorBoard or Perfetto.

    Returns:
      `trace(step, pending)`, where `step` is the step that is about to run, or None after the last one. It waits for
      `pending` before the trace begins and before it ends, so that the trace holds the asked steps and no others.

    Raises:
      ConfigError: `steps` is anything else.
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
    """Return (first, last) of "FIRST:LAST". Raises ConfigError for anything else."""
    first, _, last = steps.partition(":")
    if not (first.isdecimal() and last.isdecimal() and 0 < int(first) <= int(last)):
        raise ConfigError(f"config.profile_steps={steps!r}: give FIRST:LAST, for example 10:15")
    return int(first), int(last)


class Meter:
    """Counts steps, images and operations, and the time that they take.

    Args:
      peak: the operations per second that all devices could do.
    """

    def __init__(self, peak: float):
        self._peak = peak
        self._reset()

    def _reset(self) -> None:
        self._begin, self._waited = time.monotonic(), 0.0
        self._steps = self._images = self._operations = 0

    def waiting(self, batches: Iterable[Any]) -> Iterator[Any]:
        """Yield the batches, and count the time that the loop waits for them."""
        batches, end = iter(batches), object()
        while True:
            start = time.monotonic()
            batch = next(batches, end)
            self._waited += time.monotonic() - start
            if batch is end:
                return
            yield batch

    def add(self, images: int, operations: int) -> None:
        """Count a step."""
        self._steps += 1
        self._images += images
        self._operations += operations

    def read(self) -> dict[str, float]:
        """Return the rates since the last call, and start again from 0.

        Call it when the results of the steps have arrived, or the time of steps that still run is missing.

        Returns:
          The fields of a row of log.jsonl: `steps_per_s`; `images_per_s`, crops of all sets; `data_wait`, the share of the
          time in which the loop waited for data; `tflops`, 10^12 operations per second; `peak_share`, the operations per
          second as a share of the peak.
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
