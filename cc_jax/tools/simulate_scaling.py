"""What many devices would make of a step that one device takes: the exchange of gradients, played through.

usage: python -m cc_jax.tools.simulate_scaling --workdir=DIR [--stage=NAME]       # the step's time from the run's log.jsonl
       python -m cc_jax.tools.simulate_scaling --config=configs/X.py:ARG --step_ms=MS

Weak scaling: each device has the crops of that one device's step. All hold all parameters; a step ends when the gradients of
all are summed, in a ring within each host, then between hosts, each device its share. Nothing is measured here but the step:
the rates are what is assumed of the network, see the flags; launch/SCALING.md says what came of it.
"""

import dataclasses
import pathlib
import statistics

import numpy as np
from absl import flags

from cc_jax import app
from cc_jax.errors import ConfigError, InputError

_WORKDIR = flags.DEFINE_string("workdir", None, "A run on one device: its config, and its step's time.")
_STAGE = flags.DEFINE_string(
    "stage", None, "The stage whose steps count (default: that with the most logged rows)."
)
_CONFIG = app.define_config("Config file, or the name of a shipped config, in the place of a run.")
_STEP = flags.DEFINE_float(
    "step_ms", None, "Milliseconds of a step on one device, in the place of the run's.", lower_bound=1e-3
)
_DEVICES = flags.DEFINE_multi_integer(
    "devices", [1, 8, 64, 256], "Number of devices; may be repeated.", lower_bound=1
)
_PER_HOST = flags.DEFINE_integer("per_host", 8, "Devices of a host.", lower_bound=1)
_WITHIN = flags.DEFINE_float(
    "within_gb_s",
    450.0,
    "10^9 bytes a second from a device to others of its host, each way.",
    lower_bound=1e-3,
)
_BETWEEN = flags.DEFINE_float("between_gb_s", 50.0, "The same to its peers on other hosts.", lower_bound=1e-3)
_HOP = flags.DEFINE_float("hop_us", 10.0, "Microseconds of a message beside its bytes.", lower_bound=0.0)
_SPREAD = flags.DEFINE_float(
    "spread",
    0.01,
    "Standard deviation of a device's step, as a share of it.",
    lower_bound=0.0,
    upper_bound=0.2,
)
_PARTS = flags.DEFINE_integer(
    "parts", 4, "Messages that the gradients travel in, each as soon as its layers are done.", lower_bound=1
)


@dataclasses.dataclass(frozen=True)
class Network:
    """What connects the devices.

    per_host: devices of a host.
    within, between: bytes a second from a device to the others of its host, and to its peers on other hosts.
    hop: seconds that a message takes beside its bytes.
    """

    per_host: int
    within: float
    between: float
    hop: float

    def all_reduce(self, size: float, devices: int) -> float:
        """Seconds in which `size` bytes of each device are summed for all; 2 (n - 1) / n of them pass a ring's link."""
        inside = min(devices, self.per_host)
        hosts = -(-devices // self.per_host)
        within = 2 * (inside - 1) / inside * size / self.within
        between = 2 * (hosts - 1) / hosts * size / inside / self.between
        return within + between + 2 * (inside - 1 + hosts - 1) * self.hop


def simulate(
    step: float, size: float, devices: int, network: Network, *, parts: int, spread: float, back: float = 2 / 3,
    rounds: int = 2000, seed: int = 0,
) -> float:  # fmt: skip
    """Mean seconds of a step of all devices together.

    Args:
      step: mean seconds of one device's.
      size: bytes of all gradients.
      parts: messages that these travel in, one after the other; each begins when all devices have its gradients.
      spread: standard deviation of a device's step, a share of it; the slowest of all is waited for.
      back: share of a step in which gradients come, evenly: the way back. Its last message always comes after it.
    """
    rng = np.random.default_rng(seed)
    slowest = step * (1 + spread * rng.standard_normal((rounds, devices))).max(1)
    message = network.all_reduce(size / parts, devices) if devices > 1 else 0.0
    end = np.zeros(rounds)
    for part in range(1, parts + 1):
        ready = slowest * (1 - back * (1 - part / parts))
        end = np.maximum(end, ready) + message
    return float(end.mean())


def measured(rows: list[dict], stage: str | None) -> tuple[str, float]:
    """(stage, seconds of a step) from log.jsonl: the median of its rows, of which the first holds the compilation.

    Raises InputError where there is no such row.
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
    """A line for each number of devices."""
    lines = ["devices  hosts  exchange    step  efficiency  the same with nothing hidden"]
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
    """Prints what is exchanged, the table, and what the input has to bring."""
    del args
    if (_WORKDIR.value is None) == (_CONFIG.value is None):
        raise ConfigError("give either --workdir=DIR or --config=FILE with --step_ms=MS")
    import jax

    from cc_jax import build
    from cc_jax.distributed import mesh
    from cc_jax.report import runs

    if _WORKDIR.value:
        workdir = pathlib.Path(_WORKDIR.value)
        config = build.read_config(workdir)
        what, step = measured(runs.read_log(workdir / "log.jsonl"), _STAGE.value)
        what = f"stage {what} of {workdir}, {config.model.name}"
    else:
        app.require(step_ms=_STEP.value)
        config, step = app.config_of(_CONFIG), 0.0
        what = config.model.name
    step = _STEP.value / 1e3 if _STEP.value else step
    one = mesh.make_mesh(jax.devices()[:1])
    state = build.abstract_state(config, build.counting_network(config), one, build.method(config))
    size = sum(x.size * x.dtype.itemsize for x in jax.tree.leaves(state.params))
    crops, side = config.source.batch_size + config.target.batch_size, config.augment.crop
    print(f"{what}: {1e3 * step:.4g} ms a step on one device, {size / 1e6:.1f} MB of gradients")
    network = Network(_PER_HOST.value, 1e9 * _WITHIN.value, 1e9 * _BETWEEN.value, 1e-6 * _HOP.value)
    print(table(step, size, _DEVICES.value, network, _PARTS.value, _SPREAD.value))
    crop = side**2 * 4 + (side // 8) ** 2 * 8
    print(
        f"input of a device, at most: {crops / step:,.0f} crops of {side}x{side} a second, "
        f"{crops * crop / step / 1e9:.2g} GB/s ({config.source.batch_size} + {config.target.batch_size} a step)"
    )


if __name__ == "__main__":
    app.run(main)
