"""The mesh of devices, with one axis `data`: parameters are replicated, batches are split."""

from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from cc_jax.errors import ConfigError


def make_mesh(devices: Sequence[Any] | None = None) -> Mesh:
    """Return a mesh over `devices`; by default, all devices of all processes.

    Its axis has the type Auto: the compiler places the collectives.
    """
    devices = jax.devices() if devices is None else devices
    return Mesh(np.asarray(devices), ("data",), axis_types=(AxisType.Auto,))


def fake_devices(number: int) -> dict[str, str]:
    """Return the environment variables that give a process several devices on one CPU, for tests and benchmarks.

    NPROC is the number of threads of XLA's CPU client. With fewer threads than devices, a collective waits forever.
    """
    return {"JAX_PLATFORMS": "cpu", "JAX_NUM_CPU_DEVICES": str(number), "NPROC": str(max(2 * number, 8))}


def replicated(mesh: Mesh) -> NamedSharding:
    """Return the sharding in which every device holds the whole array."""
    return NamedSharding(mesh, PartitionSpec())


def split(mesh: Mesh) -> NamedSharding:
    """Return the sharding that splits the leading axis over the devices."""
    return NamedSharding(mesh, PartitionSpec("data"))


def put_batch(mesh: Mesh, batch):
    """Return global arrays, split over the devices, from this process's share of a batch.

    Args:
      mesh: the devices.
      batch: a tree of arrays whose leading axis is the batch.
    """
    return jax.tree.map(lambda x: jax.make_array_from_process_local_data(split(mesh), np.asarray(x)), batch)


def put_replicated(mesh: Mesh, batch):
    """Return global arrays, replicated on every device, from a batch that every process holds whole."""
    return jax.tree.map(
        lambda x: jax.make_array_from_process_local_data(replicated(mesh), np.asarray(x)), batch
    )


def gather_replicated(mesh: Mesh, tree):
    """Return a tree of arrays, however they are split, with each array whole on every device of `mesh`.

    Args:
      mesh: devices of this process.
      tree: global arrays.
    """
    if jax.process_count() > 1:
        tree = jax.tree.map(_gathered, tree)
    return jax.device_put(tree, replicated(mesh))


def _gathered(x: jax.Array):
    if x.is_fully_replicated:
        return x.addressable_data(0)
    return multihost_utils.process_allgather(x, tiled=True)


def check_batch_size(name: str, size: int, mesh: Mesh, parts: int = 1) -> None:
    """Raise ConfigError if a global batch cannot be split evenly over the devices and, on each device, into `parts`."""
    if size % (mesh.size * parts):
        split = f"{mesh.size} devices" + (f", {parts} parts each" if parts > 1 else "")
        raise ConfigError(
            f"{name}={size} cannot be split over {split}: make it a multiple of {mesh.size * parts}"
        )
