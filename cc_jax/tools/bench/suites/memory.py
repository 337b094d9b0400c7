"""What counting a huge image takes: `lite` 8192x8192 pixels, `sfcn` 2048x2048, at their own size, in a process of its own.

The columns are GiB here: the most that the process held, beside the 3 GiB that it may. The other row is what tiles change in
the count of an image that fits into one piece too, as a share, beside the hundredth that it may.
"""

import json
import subprocess
import sys

from cc_jax.tools.bench import Options, Row, Times

_SIDES = {"lite": 8192, "sfcn": 2048}  # 8192 take `sfcn` more than seven minutes on two cores
_BUDGET = 3.0
_SMALLER = 1536

# A process of its own: what one held before stays in its peak.
_COUNT = """
import json, pathlib, re, sys
import numpy as np
from cc_jax import app, assemble, rngs
from cc_jax.counter import Counter
from configs import default
model, side, memory = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
app.keep_memory()
config = default.get_config()
config.model.name, config.frame.max_side, config.evaluation.memory_gib = model, 0, memory
parts = assemble.counting(config)
params, collections = assemble.initial(parts, rngs.root(0))
counter = Counter(config, parts, {"params": params, **collections}, 0, "untrained")
small = np.random.default_rng(0).integers(0, 256, (side // 8, side // 8, 3), np.uint8)
image = small.repeat(8, 0).repeat(8, 1)
counter.plan([image.shape[:2]])
found = counter.count(image)
# Not getrusage: its peak is handed on from the process that started this one.
(peak,) = re.findall(r"VmHWM:\\s*(\\d+) kB", pathlib.Path("/proc/self/status").read_text())
print(json.dumps([found.count, int(peak) / 2**20]))
"""


def run(options: Options) -> list[Row]:
    """A row a model, and one for what tiles change."""
    del options
    rows = []
    for model, side in _SIDES.items():
        _, peak = _count(model, side, 2.0)
        rows.append(Row("memory", f"{model}, {side}x{side}", Times.once(peak), "3 GiB", Times.once(_BUDGET),
                        peak / _BUDGET, 1.0))  # fmt: skip
    whole, _ = _count("lite", _SMALLER, 8.0)
    tiled, _ = _count("lite", _SMALLER, 0.25)
    change = abs(tiled - whole) / whole
    case = f"lite, {_SMALLER}x{_SMALLER}, in tiles {tiled:.3f}, whole {whole:.3f}"
    return [
        *rows,
        Row("memory", case, Times.once(change), "a hundredth", Times.once(0.01), change / 0.01, 1.0),
    ]


def _count(model: str, side: int, memory_gib: float) -> tuple[float, float]:
    """(people, GiB)."""
    command = [sys.executable, "-c", _COUNT, model, str(side), str(memory_gib)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    count, peak = json.loads(done.stdout.splitlines()[-1])
    return count, peak
