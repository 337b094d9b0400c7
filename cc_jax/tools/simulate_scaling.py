"""Simulate a training step on many devices from the time of a step on one device and the speed of the network.

usage: python -m cc_jax.tools.simulate_scaling --workdir=DIR [--stage=NAME]       # takes the step's time from log.jsonl
       python -m cc_jax.tools.simulate_scaling --config=configs/X.py:ARG --step_ms=MS

The simulation is of weak scaling with data parallelism: every device has all parameters and as many crops as the one device.
A step ends when the gradients of all devices are summed, first in a ring within each host, then between hosts, where each
device exchanges its share. Only the time of the step is measured. The speed of the network is assumed, see the flags.
launch/SCALING.md shows results.
"""

import dataclasses
import pathlib
import statistics

import numpy as np
from absl import flags

from cc_jax import app
from cc_jax.errors import ConfigError, InputError
from cc_jax.units import CELL

_WORKDIR = flags.DEFINE_string(
    "workdir", None, "Workdir of a run on one device, for its config and the time of its step."
)
_STAGE = flags.DEFINE_string(
    "stage", None, "Stage whose steps are used (default: the stage with the most logged rows)."
)
_CONFIG = app.define_config("Config file, or the name of a shipped config, to use instead of a run.")
_STEP = flags.DEFINE_float(
    "step_ms", None, "Milliseconds of a step on one device, instead of the run's.", lower_bound=1e-3
)
_DEVICES = flags.DEFINE_multi_integer(
    "devices", [1, 8, 64, 256], "Number of devices. May be repeated.", lower_bound=1
)
_PER_HOST = flags.DEFINE_integer("per_host", 8, "Number of devices per host.", lower_bound=1)
_WITHIN = flags.DEFINE_float(
    "within_gb_s",
    450.0,
    "Gigabytes per second from a device to the others on its host, in each direction.",
    lower_bound=1e-3,
)
_BETWEEN = flags.DEFINE_float(
    "between_gb_s", 50.0, "Gigabytes per second from a device to its peers on other hosts.", lower_bound=1e-3
)
_HOP = flags.DEFINE_float("hop_us", 10.0, "Latency of a message in microseconds.", lower_bound=0.0)
_SPREAD = flags.DEFINE_float(
    "spread",
    0.01,
    "Standard deviation of the time of a step on a device, relative to its mean.",
    lower_bound=0.0,
    upper_bound=0.2,
)
_PARTS = flags.DEFINE_integer(
    "parts",
    4,
    "Number of messages for the gradients. Each is sent as soon as the gradients of its layers exist.",
    lower_bound=1,
)


@dataclasses.dataclass(frozen=True)
class Network:
    """The network between the devices.

    Attributes:
      per_host: Number of devices per host.
      within: Bytes per second from a device to the others on its host.
      between: Bytes per second from a device to its peers on other hosts.
      hop: Latency of a message in seconds.
    """

    per_host: int
    within: float
    between: float
    hop: float

    def all_reduce(self, size: float, devices: int) -> float:
        """Return the seconds that summing `size` bytes over all devices takes.

        Each link of a ring of n devices transfers 2 (n - 1) / n of the bytes.
        """
        inside = min(devices, self.per_host)
        hosts = -(-devices // self.per_host)
        within = 2 * (inside - 1) / inside * size / self.within
        between = 2 * (hosts - 1) / hosts * size / inside / self.between
        return within + between + 2 * (inside - 1 + hosts - 1) * self.hop


# Share of a step that the backward pass takes.
_BACKWARD = 2 / 3


def simulate(
    step: float, size: float, devices: int, network: Network, *, parts: int, spread: float, rounds: int = 2000
) -> float:
    """Return the mean time of a step of all devices together, in seconds.

    The backward pass produces the gradients evenly over its time. A message starts when its gradients are ready on all
    devices and the message before it has arrived. The last message always starts after the backward pass.

    Args:
      step: Mean time of a step on one device, in seconds.
      size: Bytes of all gradients.
      devices: Number of devices.
      network: The network between them.
      parts: Number of messages for the gradients.
      spread: Standard deviation of the time of a step on a device, relative to its mean. All wait for the slowest device.
      rounds: Number of simulated steps.
    """
    rng = np.random.default_rng(0)
    slowest = step * (1 + spread * rng.standard_normal((rounds, devices))).max(1)
    message = network.all_reduce(size / parts, devices) if devices > 1 else 0.0
    end = np.zeros(rounds)
    for part in range(1, parts + 1):
        ready = slowest * (1 - _BACKWARD * (1 - part / parts))
        end = np.maximum(end, ready) + message
    return float(end.mean())


def measured(rows: list[dict], stage: str | None) -> tuple[str, float]:
    """Return a stage and the median time of its steps in seconds, from the rows of log.jsonl.

    The median ignores the first row, which includes the compilation.

    Raises:
      InputError: There is no row with a time.
    """
    rates: dict[str, list[float]] = {}
    for row in rows:
        if "steps_per_s" in row:
            rates.setdefault(row["stage"], []).append(row["steps_per_s"])
    if not rates or (stage and stage not in rates):
        raise InputError(
            f"log.jsonl has no timed row of stage {stage or 'any'}; it has {', '.join(rates) or 'none'}"
        )
    stage = stage or max(rates, key=lambda name: len(rates[name]))
    return stage, 1 / statistics.median(rates[stage])


def table(step: float, size: float, numbers: list[int], network: Network, parts: int, spread: float) -> str:
    """Return a table with a line for each number of devices."""
    lines = ["devices  hosts  exchange    step  efficiency  without overlap"]
    for devices in numbers:
        exchange = network.all_reduce(size, devices) if devices > 1 else 0.0
        hidden, bare = (
            simulate(step, size, devices, network, parts=n, spread=spread) for n in (parts, 1)
        )  # fmt: skip
        lines.append(
            f"{devices:7}  {-(-devices // network.per_host):5}  {1e3 * exchange:5.2f} ms  {1e3 * hidden:.4g} ms  "
            f"{step / hidden:9.1%}  {1e3 * bare:.4g} ms {step / bare:.1%}"
        )
    return "\n".join(lines)


def main(args: list[str]) -> None:
    """Prints the size of the gradients, the table, and the crops per second that a device needs."""
    del args
    if (_WORKDIR.value is None) == (_CONFIG.value is None):
        raise ConfigError("give either --workdir=DIR or --config=FILE with --step_ms=MS")
    import jax

    from cc_jax import build
    from cc_jax.distributed import mesh
    from cc_jax.report import runs
    from cc_jax.workdir.config import read_config
    from cc_jax.workdir.layout import Layout

    if _WORKDIR.value:
        workdir = pathlib.Path(_WORKDIR.value)
        config = read_config(workdir)
        what, step = measured(runs.read_log(Layout(workdir).log), _STAGE.value)
        what = f"stage {what} of {workdir}, {config.model.name}"
    else:
        config, step = app.config_of(_CONFIG), app.required(_STEP) / 1e3
        what = config.model.name
    step = _STEP.value / 1e3 if _STEP.value else step
    one = mesh.make_mesh(jax.devices()[:1])
    state = build.abstract_state(config, build.counting_network(config), one, build.method(config))
    size = sum(x.size * x.dtype.itemsize for x in jax.tree.leaves(state.params))
    crops, side = config.source.batch_size + config.target.batch_size, config.augment.crop
    print(f"{what}: {1e3 * step:.4g} ms per step on one device, {size / 1e6:.1f} MB of gradients")
    network = Network(_PER_HOST.value, 1e9 * _WITHIN.value, 1e9 * _BETWEEN.value, 1e-6 * _HOP.value)
    print(table(step, size, _DEVICES.value, network, _PARTS.value, _SPREAD.value))
    # Bytes of a crop: image and ROI, one byte per channel and pixel; density and weight, a float32 each per cell.
    crop = side**2 * 4 + (side // CELL) ** 2 * 8
    print(
        f"input of a device, at most: {crops / step:,.0f} crops of {side}x{side} per second, "
        f"{crops * crop / step / 1e9:.2g} GB/s ({config.source.batch_size} + {config.target.batch_size} per step)"
    )


if __name__ == "__main__":
    app.run(main)
