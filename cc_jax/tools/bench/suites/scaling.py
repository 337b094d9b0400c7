"""A training step on several devices, beside one device with the same global batch: OURS's step of stage 1 with `tiny`.

If the machine has several devices, the reference is the time on one device divided by the number of devices. Otherwise XLA
simulates 1, 2, 4 and 8 devices on the CPU, each number in a process of its own. They share its cores, so the best that can
be reached is the time of one device, and the rest is the cost of splitting, exchanging and summing.
"""

import contextlib
import os
import subprocess
import sys
from collections.abc import Callable, Iterator

import jax
import numpy as np

from cc_jax import build
from cc_jax.distributed import mesh
from cc_jax.optimization import rngs
from cc_jax.tools.bench import Options, Row, alternate
from cc_jax.units import CELL
from configs import default

_CROPS, _SIDE, _ROUNDS = 16, 128, 5
_PROCESS = "import sys; from cc_jax.tools.bench.suites import scaling; scaling.serve(*map(int, sys.argv[1:]))"


def run(options: Options) -> list[Row]:
    """Return a row for each number of devices beyond one."""
    del options
    real = jax.device_count()
    numbers = [n for n in (1, 2, 4, 8, 16) if n <= real] if real > 1 else [1, 2, 4, 8]
    with contextlib.ExitStack() as stack:
        if real > 1:
            steps = {f"{n}": step_on(n, _CROPS, _SIDE) for n in numbers}
        else:
            steps = {f"{n}": stack.enter_context(_simulated(n, _CROPS, _SIDE)) for n in numbers}
        for start in steps.values():
            start()
        seconds = alternate(steps, _ROUNDS)
    times = {n: seconds[f"{n}"] for n in numbers}
    kind = "devices" if real > 1 else "devices simulated on one CPU"
    beside = "an equal share of one device's time" if real > 1 else "one device"
    share = {n: times[1].by(1 / n if real > 1 else 1) for n in numbers}
    return [
        Row("scaling", f"{n} {kind}, {_CROPS} + {_CROPS} crops of {_SIDE}x{_SIDE}", times[n], beside, share[n],
            times[n].median / share[n].median, 1.25)
        for n in numbers[1:]
    ]  # fmt: skip


def step_on(devices: int, crops: int, side: int) -> Callable[[], float]:
    """Return a function that takes a step on the first devices and returns its loss.

    Args:
      devices: Number of devices.
      crops: Number of labelled crops, and of unlabelled ones.
      side: Side of a crop in pixels.
    """
    config = default.get_config()
    config.source.batch_size = config.target.batch_size = crops
    config.augment.crop = side
    network, method = build.counting_network(config), build.method(config)
    device_mesh = mesh.make_mesh(jax.devices()[:devices])
    state = build.fresh_state(config, network, device_mesh, method)
    rng, cells = np.random.default_rng(0), side // CELL
    batch = {
        name: {
            "image": rng.integers(0, 256, (crops, side, side, 3), np.uint8),
            "roi": np.ones((crops, side, side, 1), np.uint8),
            "density": rng.random((crops, cells, cells, 1), np.float32),
            "weight": np.ones((crops, cells, cells, 1), np.float32),
        }
        for name in ("source", "target")
    }
    batch = mesh.put_batch(device_mesh, batch)
    update = method.stages()[0].update
    step = jax.jit(lambda state, batch: update(state, batch, rngs.root(0), network.draw), donate_argnums=0)

    def run() -> float:
        nonlocal state
        state, values = step(state, batch)
        return float(values["loss"])

    return run


def serve(devices: int, crops: int, side: int) -> None:
    """Take a step for each line of the standard input, and print its loss."""
    step = step_on(devices, crops, side)
    for _ in sys.stdin:
        print(step(), flush=True)


@contextlib.contextmanager
def _simulated(devices: int, crops: int, side: int) -> Iterator[Callable[[], float]]:
    """Yield the function of `step_on` for devices that XLA simulates on the CPU, in a process of its own."""
    command = [sys.executable, "-c", _PROCESS, str(devices), str(crops), str(side)]
    environment, pipe = {**os.environ, **mesh.fake_devices(devices)}, subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, env=environment) as process:

        def step() -> float:
            assert process.stdout is not None
            print(file=process.stdin, flush=True)
            answer = process.stdout.readline()
            if not answer:
                raise subprocess.CalledProcessError(process.wait(), command)
            return float(answer)

        yield step
