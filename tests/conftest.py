"""What the tests share: a cache of compiled programs and prepared datasets, the real images, and the order of the files.

Compiled programs and prepared synthetic datasets stay in `.test_cache/` of the checkout (or $CC_JAX_TEST_CACHE), so that all
workers share them and the next run starts warm. Removing the folder is always safe.
"""

import hashlib
import importlib.metadata
import os
import pathlib
from collections.abc import Iterator

import jaxtyping
import pytest

# Before cc_jax is imported anywhere: every annotated function checks the types and array shapes of its arguments and of its
# result. An int may stand for a float (PEP 484's numeric tower).
jaxtyping.install_import_hook("cc_jax", "beartype.beartype(conf=beartype.BeartypeConf(is_pep484_tower=True))")

ROOT = pathlib.Path(__file__).resolve().parent.parent
CACHE = pathlib.Path(os.environ.get("CC_JAX_TEST_CACHE", ROOT / ".test_cache"))


def _digest_of_data_code() -> str:
    """Digest of the code and files that datasets are made with: changed code does not read what older code wrote."""
    digest = hashlib.sha256()
    for path in sorted((ROOT / "cc_jax" / "data").rglob("*.*")):
        if path.suffix != ".pyc" and path.is_file():
            digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


# Set before anything imports JAX, and inherited by the processes that tests start.
os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ["JAX_COMPILATION_CACHE_DIR"] = str(CACHE / f"xla-{importlib.metadata.version('jaxlib')}")
os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"
# Compiling takes half of a first run, and the tests' programs are too small to gain from well compiled code. jaxlib 0.10 and
# 0.11 know the flag; one that does not ends at once and says so.
os.environ.setdefault("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")
os.environ.setdefault("XLA_FLAGS", "--xla_cpu_use_fusion_emitters=false")
_DATA_CODE = _digest_of_data_code()
os.environ["TFDS_DATA_DIR"] = str(CACHE / f"datasets-{_DATA_CODE}")
SCENES = CACHE / f"scenes-{_DATA_CODE}"

# Files in the order in which they start, the longest first: a long file that starts last keeps one worker busy alone.
# Files that are not listed follow in alphabetical order.
LONGEST_FIRST = (
    "plugins_test.py", "loop_test.py", "devices_test.py", "docs_test.py", "processes_test.py", "adaptation_test.py",
    "gradient_accumulation_test.py", "uncertainty_test.py", "bench_test.py", "models_test.py", "tiling_test.py",
    "toy_plugins_test.py", "evaluation_test.py", "counter_test.py", "report_test.py", "masksembles_layer_test.py",
    "builders_test.py", "workdirs_test.py", "calibration_test.py", "inspect_dataset_test.py", "launch_test.py",
    "shipped_test.py", "scenes_test.py", "sources_test.py", "optimizers_test.py", "prepare_test.py",
)  # fmt: skip


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Sort the files by `LONGEST_FIRST`; the order within a file stays."""
    rank = {name: i for i, name in enumerate(LONGEST_FIRST)}
    items.sort(key=lambda item: rank.get(item.path.name, len(rank)))


@pytest.fixture(scope="session")
def real_data() -> pathlib.Path:
    """The folder with real images (ShanghaiTech, Unity); the test is skipped where it is absent."""
    folder = pathlib.Path(os.environ.get("CC_JAX_DATA", ROOT.parent / "shared" / "data"))
    if not (folder / "shanghaitech").is_dir():
        pytest.skip(f"no real data under {folder}; set CC_JAX_DATA")
    return folder


@pytest.fixture
def optimized_programs() -> Iterator[None]:
    """Compile programs as users do, for tests that run them for longer than this takes."""
    import jax

    before = jax.config.read("jax_disable_most_optimizations")
    jax.config.update("jax_disable_most_optimizations", False)
    yield
    jax.config.update("jax_disable_most_optimizations", before)


@pytest.fixture(scope="session")
def environment() -> dict[str, str]:
    """The environment of programs that tests start: this checkout, the shared datasets and compiled programs."""
    return {**os.environ, "PYTHONPATH": str(ROOT)}
