"""What counting a huge image takes: 8192x8192 pixels at their own size, by `lite`, in a process of its own.

The columns are GiB here: the most that the process held, beside the 3 GiB that it may. The other row is what tiles change in
the count of an image that fits into one piece too, as a share, beside the hundredth that it may.
"""

import json
import subprocess
import sys

from cc_jax.tools.bench import Options, Row, Times

_SIDE = 8192
_BUDGET = 3.0
_SMALLER, _TIGHT = 1280, 0.25  # side; GiB, for four tiles

# A process of its own: what one held before stays in its peak.
_COUNT = """
import json, pathlib, re, sys
import numpy as np
from cc_jax import app, build
from cc_jax.optimization import rngs
from cc_jax.counting.counter import Counter
from configs import default
model, side, memory = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
app.keep_memory()
config = default.get_config()
config.model.name, config.resize.max_side, config.evaluation.memory_gib = model, 0, memory
network = build.counting_network(config)
params, collections = build.initial(network, rngs.root(0))
counter = Counter(config, network, {"params": params, **collections}, 0, "untrained")
small = np.random.default_rng(0).integers(0, 256, (side // 8, side // 8, 3), np.uint8)
image = small.repeat(8, 0).repeat(8, 1)
counter.plan([image.shape[:2]])
found = counter.count(image)
# Not getrusage: its peak is handed on from the process that started this one.
(peak,) = re.findall(r"VmHWM:\\s*(\\d+) kB", pathlib.Path("/proc/self/status").read_text())
print(json.dumps([found.count, int(peak) / 2**20]))
"""


def run(options: Options) -> list[Row]:
    """A row for the most that it holds, and one for what tiles change."""
    del options
    _, peak = _count("lite", _SIDE, 2.0)
    whole, _ = _count("lite", _SMALLER, 8.0)
    tiled, _ = _count("lite", _SMALLER, _TIGHT)
    change = abs(tiled - whole) / whole
    case = f"lite, {_SMALLER}x{_SMALLER}, in tiles {tiled:.3f}, whole {whole:.3f}"
    return [
        Row("memory", f"lite, {_SIDE}x{_SIDE}", Times.once(peak), "3 GiB", Times.once(_BUDGET), peak / _BUDGET, 1.0),
        Row("memory", case, Times.once(change), "a hundredth", Times.once(0.01), change / 0.01, 1.0),
    ]  # fmt: skip


def _count(model: str, side: int, memory_gib: float) -> tuple[float, float]:
    """(people, GiB)."""
    command = [sys.executable, "-c", _COUNT, model, str(side), str(memory_gib)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    count, peak = json.loads(done.stdout.splitlines()[-1])
    return count, peak
