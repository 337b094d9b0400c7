"""Counting, beside PyTorch, and the time to the first count of a new process.

The first row is SFCN on one image of 768x1024, in one pass without members and with the same weights. PyTorch uses the
faster of its memory layouts and, on a GPU, bfloat16 by autocast, as ours does. The goal on CPUs is 1.2.
The second row is a process of `cc_jax.predict`, from its start to its end, that counts one image by an untrained `tiny` with
three members. An earlier process has compiled the programs. The limit is six seconds.
Needs torch, see tests/requirements-extra.txt.
"""

import os
import pathlib
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from cc_jax import build
from cc_jax.data import images
from cc_jax.distributed import mesh
from cc_jax.inference.predict import make_sampler
from cc_jax.optimization import rngs
from cc_jax.tools.bench import Options, Row, Times, beside_best, import_torch, peer
from cc_jax.units import people_per_cell
from cc_jax.workdir.checkpoints import Checkpoints
from cc_jax.workdir.config import write_config
from configs import default

_SIZE, _WIDTH, _ROUNDS = (768, 1024), 1.0, 3
_FIRST_SECONDS = 6.0


def run(options: Options) -> list[Row]:
    """Return a row for one image, and one for the first count."""
    del options
    cpu = jax.default_backend() == "cpu"
    image = np.random.default_rng(0).integers(0, 256, (1, *_SIZE, 3), np.uint8)
    count, variables = our_count(_WIDTH, "float32" if cpu else "bfloat16", image)
    peers = torch_counts(variables, image, half=not cpu)
    seconds, layout, theirs = beside_best({"ours": count}, peers, _ROUNDS)
    ours, first = seconds["ours"], first_count()
    case = f"SFCN, one image of {_SIZE[0]}x{_SIZE[1]}"
    return [
        Row("predict", case, ours, f"torch, {layout}", theirs, ours.median / theirs.median, 1.2),
        Row("predict", "first count of a process, programs compiled earlier", Times.once(first), "6 seconds",
            Times.once(_FIRST_SECONDS), first / _FIRST_SECONDS, 1),
    ]  # fmt: skip


def our_count(width: float, dtype: str, image: np.ndarray) -> tuple[Callable[[], float], dict]:
    """Return a function that counts the image, and the variables of the network."""
    config = default.get_config()
    config.model.name, config.model.dtype = "sfcn", dtype
    config.model.sfcn.width = width
    config.uncertainty.name = "single"
    network = build.counting_network(config)
    params, collections = build.initial(network, rngs.root(0))
    variables = {"params": params, **collections}
    sample = make_sampler(network, config.evaluation.memory_gib)
    on_device, roi = jnp.asarray(image), jnp.ones((*image.shape[:3], 1), jnp.uint8)
    return lambda: float(sample(variables, on_device, roi)[0].sum()), jax.device_get(variables)


def torch_counts(variables: dict, image: np.ndarray, half: bool) -> dict[str, Callable[[], float]]:
    """Return functions that count the image in PyTorch, by memory layout."""
    torch, label_scale = import_torch(), default.get_config().label_scale
    found = {}
    for name, module, x in peer.layouts(lambda: peer.build(variables), image, variables):

        def count(module=module, x=x):
            with torch.inference_mode(), torch.autocast(x.device.type, torch.bfloat16, enabled=half):
                return people_per_cell(float(module(x).float().sum()), label_scale)

        found[name] = count
    return found


def first_count() -> float:
    """Return the seconds of a `cc_jax.predict` of one image, the second time that it runs."""
    config = default.get_config()
    network = build.counting_network(config)
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        checkpoints = Checkpoints(folder / "run")
        state = build.fresh_state(config, network, mesh.make_mesh(jax.local_devices()[:1]))
        checkpoints.save(0, state.checkpoint_items(), stage="untrained", counted=0)
        checkpoints.close()
        write_config(folder / "run", config)
        image = np.random.default_rng(0).integers(0, 256, (*_SIZE, 3), np.uint8)
        images.write_image(folder / "photo.jpg", image)
        command = [sys.executable, "-m", "cc_jax.predict", f"--workdir={folder / 'run'}", f"--input={folder / 'photo.jpg'}",
                   f"--output={folder / 'counts'}"]  # fmt: skip
        environment = {**os.environ, "JAX_COMPILATION_CACHE_DIR": str(folder / "cache")}
        for _ in range(2):
            begin = time.perf_counter()
            subprocess.run(command, check=True, capture_output=True, env=environment)
        return time.perf_counter() - begin
