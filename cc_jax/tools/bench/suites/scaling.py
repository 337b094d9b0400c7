"""A train step on several devices beside one, the same global batch: OURS's step of stage 1 with `tiny`.

Where there are several devices, those; the ratio is then the time beside an equal share of one device's. Otherwise 1, 2, 4
and 8 that XLA makes of the CPU, each a process of its own: they share its cores, so that equal times are all that can be
had, and what is over is the price of splitting, exchanging and adding up.
"""

import json
import os
import subprocess
import sys

import jax

from cc_jax import mesh
from cc_jax.tools.bench import Options, Row, Times

_CROPS, _SIDE, _ROUNDS = 16, 128, 3
_STEP = """
import json, sys, time
import jax, numpy as np
from cc_jax import assemble, mesh, rngs
from configs import default
devices, crops, side = map(int, sys.argv[1:])
config = default.get_config()
config.source.batch_size = config.target.batch_size = crops
config.augment.crop = side
parts, method = assemble.counting(config), assemble.method(config)
those = mesh.make_mesh(jax.devices()[:devices])
state = assemble.fresh_state(config, parts, those, method)
rng, cells = np.random.default_rng(0), side // 8
one = lambda: {
    "image": rng.integers(0, 256, (crops, side, side, 3), np.uint8), "roi": np.ones((crops, side, side, 1), np.uint8),
    "density": rng.random((crops, cells, cells, 1), np.float32), "weight": np.ones((crops, cells, cells, 1), np.float32)}
batch = mesh.put_batch(those, {"source": one(), "target": one()})
update = method.stages()[0].update
step = jax.jit(lambda state, batch: update(state, batch, rngs.root(0), parts.draw), donate_argnums=0)
times = []
for _ in range(6):
    begin = time.perf_counter()
    state, values = step(state, batch)
    loss = float(values["loss"])
    times.append(time.perf_counter() - begin)
print(json.dumps(sorted(times[1:])[2]))
"""


def run(options: Options) -> list[Row]:
    """A row for each number of devices beyond one."""
    del options
    real = jax.device_count()
    numbers = [n for n in (1, 2, 4, 8, 16) if n <= real] if real > 1 else [1, 2, 4, 8]
    timed = {n: [] for n in numbers}
    for _ in range(_ROUNDS):  # in turn
        for n in numbers:
            timed[n].append(_seconds(n, fake=real == 1))
    times = {n: Times.of(values) for n, values in timed.items()}
    kind = "devices" if real > 1 else "devices made of one CPU"
    beside = "its share of one device's time" if real > 1 else "one device"
    share = {n: times[1].by(1 / n if real > 1 else 1) for n in numbers}
    return [
        Row("scaling", f"{n} {kind}, {_CROPS} + {_CROPS} crops of {_SIDE}x{_SIDE}", times[n], beside, share[n],
            times[n].median / share[n].median, 1.25)
        for n in numbers[1:]
    ]  # fmt: skip


def _seconds(devices: int, fake: bool) -> float:
    environment = {**os.environ, **(mesh.fake_devices(devices) if fake else {})}
    command = [sys.executable, "-c", _STEP, str(devices), str(_CROPS), str(_SIDE)]
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
    return json.loads(done.stdout.splitlines()[-1])
