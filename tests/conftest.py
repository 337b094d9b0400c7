"""What the tests share."""

import os
import pathlib

# Before JAX is imported anywhere: tests run on the CPU and leave the preallocation alone.
os.environ.setdefault("JAX_PLATFORMS", "cpu")

import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def real_data() -> pathlib.Path:
    """The folder with real images (ShanghaiTech, Unity); the test is skipped where it is absent."""
    folder = pathlib.Path(os.environ.get("CC_JAX_DATA", ROOT.parent / "shared" / "data"))
    if not (folder / "shanghaitech").is_dir():
        pytest.skip(f"no real data under {folder}; set CC_JAX_DATA")
    return folder


@pytest.fixture(scope="session")
def environment(tmp_path_factory):
    """For runs of the binaries: datasets and compiled programs are made once for all tests."""
    folder = tmp_path_factory.mktemp("shared")
    return {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "TFDS_DATA_DIR": str(folder / "data"),
        "JAX_COMPILATION_CACHE_DIR": str(folder / "cache"),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    }
