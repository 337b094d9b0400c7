"""One mesh with one axis, `data`: parameters are replicated, batches are split."""

import jax
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from cc_jax.errors import ConfigError


def make_mesh(devices: list[jax.Device] | None = None) -> Mesh:
    """A mesh over `devices` (default: all of all hosts). Auto axes: the compiler places the collectives."""
    devices = jax.devices() if devices is None else devices
    return Mesh(np.asarray(devices), ("data",), axis_types=(AxisType.Auto,))


def fake_devices(number: int) -> dict[str, str]:
    """The environment variables of a process that is to have so many devices made of one CPU, to test and to measure with.

    With fewer threads than devices XLA's CPU client waits for ever where all of them wait for each other, as eight devices
    on two cores did: NPROC tells it how many threads to make.
    """
    return {"JAX_PLATFORMS": "cpu", "JAX_NUM_CPU_DEVICES": str(number), "NPROC": str(max(2 * number, 8))}


def replicated(mesh: Mesh) -> NamedSharding:
    """Every device holds the whole array."""
    return NamedSharding(mesh, PartitionSpec())


def split(mesh: Mesh) -> NamedSharding:
    """The leading axis is split over the devices."""
    return NamedSharding(mesh, PartitionSpec("data"))


def put_batch(mesh: Mesh, batch):
    """This host's share of a batch (a tree of arrays with a leading batch axis) as global, split arrays."""
    return jax.tree.map(lambda x: jax.make_array_from_process_local_data(split(mesh), np.asarray(x)), batch)


def put_replicated(mesh: Mesh, batch):
    """A batch that every host has whole, on every device."""
    return jax.tree.map(
        lambda x: jax.make_array_from_process_local_data(replicated(mesh), np.asarray(x)), batch
    )


def gather_replicated(mesh: Mesh, tree):
    """A tree of arrays, however they are split, whole on each device of `mesh`: this host's own."""
    if jax.process_count() > 1:
        tree = jax.tree.map(_gathered, tree)
    return jax.device_put(tree, replicated(mesh))


def _gathered(x: jax.Array):
    if x.is_fully_replicated:
        return x.addressable_data(0)
    return multihost_utils.process_allgather(x, tiled=True)


def check_batch_size(name: str, size: int, mesh: Mesh, parts: int = 1) -> None:
    """Raises ConfigError when a global batch cannot be split evenly over the devices, and there into `parts`."""
    if size % (mesh.size * parts):
        split = f"{mesh.size} devices" + (f", {parts} parts each" if parts > 1 else "")
        raise ConfigError(
            f"{name}={size} cannot be split over {split}: make it a multiple of {mesh.size * parts}"
        )
