"""A training step of SFCN, beside PyTorch: the same weights, crops, loss (MSE per cell), AdamW and moving average.

PyTorch uses the faster of its memory layouts and, on a GPU, is compiled and uses bfloat16 by autocast, as ours does. The
goals are 1.2 on CPUs and 0.9 on accelerators. The other rows are the scans of the spatial encoder alone, with their
gradients, beside our step.
Needs torch, see tests/requirements-extra.txt.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from cc_jax import build
from cc_jax.distributed import mesh
from cc_jax.models import sfcn
from cc_jax.models.parts import decoder
from cc_jax.optimization import rngs
from cc_jax.tools.bench import Options, Row, beside_best, import_torch, peer
from cc_jax.training import profiling
from cc_jax.units import CELL, output_from_people
from configs import default

_ROUNDS = 5
# (name, width, crops, side)
CPU = (("full width", 1.0, 1, 256), ("quarter width", 0.25, 4, 128))
ACCELERATOR = (("full width", 1.0, 16, 384),)


def run(options: Options) -> list[Row]:
    """Return two rows per case: the step beside PyTorch, and the share of the spatial encoder."""
    del options
    cpu = jax.default_backend() == "cpu"
    return [row for case in (CPU if cpu else ACCELERATOR) for row in _rows(cpu, *case)]


def _rows(cpu: bool, name: str, width: float, crops: int, side: int) -> list[Row]:
    dtype = "float32" if cpu else "bfloat16"
    batch = batch_of(crops, side)
    step, operations, variables = step_of(width, dtype, batch)
    runs = {"ours": step, "scans": scans_of(width, dtype, crops, side)}
    seconds, layout, theirs = beside_best(runs, torch_steps(variables, batch, compiled=not cpu), _ROUNDS)
    ours, scans = seconds["ours"], seconds["scans"]
    share = operations / ours.median / profiling.matrix_rate(dtype)
    case = f"{name}, {crops}x{side}x{side}, {dtype}"
    return [
        Row("step", f"{case}: {share:.0%} of the matrix rate", ours, f"torch, {layout}", theirs,
            ours.median / theirs.median, 1.2 if cpu else 0.9),
        Row("step", f"{case}: the spatial encoder", scans, "our step", ours, scans.median / ours.median, 0.2),
    ]  # fmt: skip


def batch_of(crops: int, side: int) -> dict[str, dict[str, np.ndarray]]:
    """Return a labelled batch of noise, as the training loop has it."""
    rng = np.random.default_rng(0)
    cells = side // CELL
    source = {
        "image": rng.integers(0, 256, (crops, side, side, 3), np.uint8),
        "roi": np.ones((crops, side, side, 1), np.uint8),
        "density": rng.gamma(0.1, 0.5, (crops, cells, cells, 1)).astype(np.float32),
        "weight": np.ones((crops, cells, cells, 1), np.float32),
    }
    return {"source": source}


def scans_of(width: float, dtype: str, crops: int, side: int) -> Callable[[], object]:
    """Return a function that computes the gradients of the spatial encoder and waits for them."""
    model = sfcn.Model(width=width)
    encoder = decoder.SpatialEncoder(
        model.spatial_kernel_size, model.channels[-1], model.spatial_kernel_init, dtype
    )
    x = jax.random.normal(jax.random.key(0), (crops, side // CELL, side // CELL, model.channels[-1]), dtype)
    roi = jnp.ones((*x.shape[:3], 1), dtype)
    params = encoder.init(jax.random.key(1), x, roi)

    def total(params, x):
        return jnp.sum(encoder.apply(params, x, roi))  # pyright: ignore[reportArgumentType]

    gradients = jax.jit(jax.grad(total, (0, 1)))
    return lambda: jax.block_until_ready(gradients(params, x))


def step_of(width: float, dtype: str, batch: dict) -> tuple[Callable, int, dict]:
    """Prepare a step of No Adapt.

    Returns:
      A function that takes the step and waits for it, the number of its operations, and the initial variables.
    """
    config = default.get_config()
    config.model.name, config.model.dtype = "sfcn", dtype
    config.model.sfcn.width = width
    config.uncertainty.name, config.method.name = "single", "no_adapt"
    network, method = build.counting_network(config), build.method(config)
    device_mesh = mesh.make_mesh(jax.devices()[:1])
    state = build.fresh_state(config, network, device_mesh, method)
    variables = jax.device_get(state.variables(state.params["counter"]))
    (stage,) = method.stages()

    def train_step(state, batch):
        state, values = stage.update(state, batch, rngs.root(0), network.draw)
        return state.replace(step=state.step + 1), values["loss"]

    jitted = jax.jit(train_step, donate_argnums=0)
    on_device = mesh.put_batch(device_mesh, batch)
    operations = profiling.operations(jitted.trace(state, on_device).jaxpr)

    def run():
        nonlocal state
        state, loss = jitted(state, on_device)
        return float(loss)

    return run, operations, variables


def torch_steps(variables: dict, batch: dict, compiled: bool) -> dict[str, Callable[[], float]]:
    """Return functions that take the same step in PyTorch and wait for it, by memory layout."""
    source = batch["source"]
    return {
        name: _torch_step(module, image, source["density"], compiled)
        for name, module, image in peer.layouts(lambda: peer.build(variables), source["image"], variables)
    }


def _torch_step(module, image, density_Bxhxwx1: np.ndarray, compiled: bool) -> Callable[[], float]:
    """Return a function that takes a step of a torch module and returns its loss.

    Args:
      module: See `peer.build`.
      image: Its input, a torch tensor.
      density_Bxhxwx1: People per cell.
      compiled: Whether to compile the module and use bfloat16.
    """
    torch, config = import_torch(), default.get_config()
    optimizer = torch.optim.AdamW(module.parameters(), lr=1e-3, weight_decay=1e-4)
    ema = torch.optim.swa_utils.get_ema_multi_avg_fn(config.optimizer.ema)
    average = torch.optim.swa_utils.AveragedModel(module, multi_avg_fn=ema)
    target = torch.tensor(output_from_people(density_Bxhxwx1, config.label_scale)).permute(0, 3, 1, 2)
    target = target.to(image.device)
    forward = torch.compile(module) if compiled else module
    autocast = torch.autocast(image.device.type, torch.bfloat16, enabled=compiled)

    def run() -> float:
        optimizer.zero_grad()
        with autocast:
            loss = torch.nn.functional.mse_loss(forward(image).float(), target)
        loss.backward()
        optimizer.step()
        average.update_parameters(module)
        return float(loss.detach())

    return run
