"""Memory for counting a huge image: 8192x8192 pixels, not resized, by `lite`, in a process of its own.

The first row compares the peak memory of the process in GiB with its limit of 3 GiB. The second row compares the relative
change of a count by tiling with its limit of 0.01, for an image that can also be counted in one piece.
"""

import json
import subprocess
import sys

from cc_jax.tools.bench import Options, Row, Times

_SIDE = 8192
_BUDGET = 3.0
# Side of the image that is counted in one piece and, with so few GiB, in four tiles.
_SMALLER, _TIGHT = 1280, 0.25

# Runs in a process of its own, because a process's peak includes all that it has done before.
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
# getrusage would include the peak of the parent process.
(peak,) = re.findall(r"VmHWM:\\s*(\\d+) kB", pathlib.Path("/proc/self/status").read_text())
print(json.dumps([found.count, int(peak) / 2**20]))
"""


def run(options: Options) -> list[Row]:
    """Return a row for the peak memory, and one for the change of the count by tiling."""
    del options
    _, peak = _count("lite", _SIDE, 2.0)
    whole, _ = _count("lite", _SMALLER, 8.0)
    tiled, _ = _count("lite", _SMALLER, _TIGHT)
    change = abs(tiled - whole) / whole
    case = f"lite, {_SMALLER}x{_SMALLER}, in tiles {tiled:.3f}, in one piece {whole:.3f}"
    return [
        Row("memory", f"lite, {_SIDE}x{_SIDE}", Times.once(peak), "3 GiB", Times.once(_BUDGET), peak / _BUDGET, 1.0),
        Row("memory", case, Times.once(change), "0.01", Times.once(0.01), change / 0.01, 1.0),
    ]  # fmt: skip


def _count(model: str, side: int, memory_gib: float) -> tuple[float, float]:
    """Return the count and the peak memory in GiB."""
    command = [sys.executable, "-c", _COUNT, model, str(side), str(memory_gib)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    count, peak = json.loads(done.stdout.splitlines()[-1])
    return count, peak
