"""Start-up of the binaries."""

import ctypes
import subprocess
import sys

import pytest
from conftest import ROOT

_TOUCH = """
import resource
import numpy as np
from cc_jax import app

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(8):
        np.ones(2**24)  # 128 MiB, 32,768 pages of 4 KiB, freed at once
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

mapped = faults()
app.keep_memory()
faults()
print(mapped, faults())
"""


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "mallopt"), reason="not glibc")
def test_memory_that_was_freed_is_used_again_without_new_pages():
    # NumPy asks for huge pages where it can: its own switch makes the pages small and countable.
    told = subprocess.run(
        [sys.executable, "-c", _TOUCH],
        capture_output=True, text=True, check=True, env={"NUMPY_MADVISE_HUGEPAGE": "0", "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    mapped, kept = map(int, told.stdout.split())
    assert mapped > 8 * 2**14
    assert kept < mapped / 100
