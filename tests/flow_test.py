"""Which module may import what: the arrows that keep the parts exchangeable.

configs -> binaries -> app -> loop -> {methods -> losses; uncertainty -> models; data; checkpoints; state} -> jax.
"""

import ast
import dataclasses
import pathlib
import subprocess
import sys

import pytest
from conftest import ROOT

PLUGINS = ("cc_jax.methods", "cc_jax.models", "cc_jax.uncertainty", "cc_jax.data.builders")
BINARIES = ("cc_jax.train", "cc_jax.evaluate", "cc_jax.predict", "cc_jax.prepare", "cc_jax.tabulate")
# What stands above the plug-ins and drives them.
ABOVE = (
    *BINARIES,
    "cc_jax.app",
    "cc_jax.training.loop",
    "cc_jax.training.sweep",
    "cc_jax.build",
    "cc_jax.counting.counter",
    "cc_jax.tools",
    "configs",
)
JAX = ("jax", "jaxlib", "flax", "optax", "orbax")
EXTRAS = ("torch", "torchvision", "masksembles")


@dataclasses.dataclass(frozen=True)
class Rule:
    """Modules `of` (but not `but`) import nothing of `banned` (but what is in `allowed`)."""

    why: str
    of: tuple[str, ...]
    banned: tuple[str, ...]
    but: tuple[str, ...] = ()
    allowed: tuple[str, ...] = ()
    snippet: tuple[str, str] = ("", "")  # a module and a line that breaks the rule

    def broken_by(self, module: str, source: str) -> list[str]:
        if not within(module, self.of) or within(module, self.but):
            return []
        return [
            name
            for name in imports(module, source)
            if within(name, self.banned) and not within(name, self.allowed)
        ]


RULES = [
    Rule("data is NumPy and OpenCV: it runs in readers' threads and where there is no JAX", ("cc_jax.data",), JAX,
         snippet=("cc_jax.data.transforms", "def f():\n    import jax.numpy as jnp")),
    Rule("data knows nothing of what uses it", ("cc_jax.data",), ("cc_jax", "configs"),
         allowed=("cc_jax.data", "cc_jax.errors", "cc_jax.registry"),
         snippet=("cc_jax.data.sources", "from cc_jax.training import loop")),
    Rule("orbax stands behind checkpoints.py alone", ("cc_jax", "configs"), ("orbax",), but=("cc_jax.workdir.checkpoints",),
         snippet=("cc_jax.training.loop", "import orbax.checkpoint as ocp")),
    Rule("networks are written in models/ and uncertainty/", ("cc_jax", "configs"), ("flax.linen", "flax.nnx"),
         but=("cc_jax.models", "cc_jax.uncertainty"), snippet=("cc_jax.methods.ours", "from flax import linen as nn")),
    Rule("a plug-in does not know who runs it", PLUGINS, ABOVE,
         snippet=("cc_jax.methods.ours", "from cc_jax.training.loop import x")),
    Rule("a plug-in does not know who runs it (relative import)", PLUGINS, ABOVE,
         snippet=("cc_jax.models.tiny", "from ..training import loop")),
    Rule("methods draw through what they are given", ("cc_jax.methods",), ("cc_jax.models", "cc_jax.uncertainty"),
          allowed=("cc_jax.models.parts.layers",),  # beside the counter
         snippet=("cc_jax.methods.ours", "from cc_jax.models import vgg")),
    Rule("models know nothing of methods and uncertainty", ("cc_jax.models",), ("cc_jax.methods", "cc_jax.uncertainty"),
         snippet=("cc_jax.models.sfcn", "from cc_jax.uncertainty.masks import generate")),
    Rule("only binaries read flags and exit", ("cc_jax",), ("cc_jax.app", "absl.flags", "absl.app"),
         but=(*BINARIES, "cc_jax.app", "cc_jax.tools"), snippet=("cc_jax.training.loop", "from absl import flags")),
    Rule("binaries are not libraries", ("cc_jax",), BINARIES, snippet=("cc_jax.training.sweep", "from cc_jax import train")),
    Rule("reports read files, they compute nothing", ("cc_jax.report", "cc_jax.report.tables"), (*JAX, "cc_jax"),
         allowed=("cc_jax.report", "cc_jax.report.tables", "cc_jax.data", "cc_jax.errors"),
         snippet=("cc_jax.report.page", "from cc_jax.evaluation import count_metrics")),
    Rule("predict draws its overlays without matplotlib", ("cc_jax",), ("matplotlib",), but=("cc_jax.report.plots",),
         snippet=("cc_jax.report.overlays", "from matplotlib import cm")),
    Rule("no TensorFlow, nor what imports it", ("cc_jax", "configs", "tests"),
         ("tensorflow", "clu", "flax.metrics", "tensorboardX"), snippet=("cc_jax.app", "from clu import metric_writers")),
    Rule("extras are for side-by-side benchmarks", ("cc_jax", "configs"), EXTRAS, but=("cc_jax.tools.bench",),
         snippet=("cc_jax.uncertainty.masksembles", "import masksembles.torch")),
    Rule("no pickle: it runs code", ("cc_jax", "configs"), ("pickle", "cloudpickle", "dill"),
         but=("cc_jax.tools.convert_weights",), snippet=("cc_jax.training.pseudo_labels", "import pickle")),
    Rule("the program does not know its tests", ("cc_jax", "configs"), ("tests", "pytest", "hypothesis"),
         snippet=("cc_jax.evaluation.count_metrics", "import hypothesis.strategies as st")),
]  # fmt: skip


def within(name: str, prefixes: tuple[str, ...]) -> bool:
    return any(name == prefix or name.startswith(prefix + ".") for prefix in prefixes)


def imports(module: str, source: str) -> list[str]:
    """Full names that a module's source imports anywhere, `from a import b` as both a and a.b."""
    found: list[str] = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(module.split(".")[: -node.level]) if node.level else ""
            origin = ".".join(filter(None, (base, node.module)))
            # Not the origin itself where only its children are named: `from cc_jax import mesh` is not all of it.
            found += [f"{origin}.{alias.name}" for alias in node.names]
    return found


def module_name(path: pathlib.Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def sources() -> list[tuple[str, str]]:
    paths = [
        path for folder in ("cc_jax", "configs", "tests") for path in sorted((ROOT / folder).rglob("*.py"))
    ]
    return [(module_name(path), path.read_text()) for path in paths]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.why)
def test_rule_holds(rule):
    broken = {module: names for module, source in sources() if (names := rule.broken_by(module, source))}
    assert not broken, f"{rule.why}: {broken}"


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.why)
def test_rule_can_fail(rule):
    module, source = rule.snippet
    assert rule.broken_by(module, source), f"{source!r} in {module} should break the rule"
    assert not rule.broken_by(module, "import numpy as np\nfrom cc_jax.errors import ConfigError")


def test_every_rule_looks_at_something():
    modules = [module for module, _ in sources()]
    for rule in RULES:
        assert any(within(module, rule.of) and not within(module, rule.but) for module in modules), rule.why


def test_imports_sees_every_form():
    source = "import a.b as c\nfrom d import e\nfrom . import f\nfrom ..g import h\nif x:\n    def i():\n        import j"
    assert sorted(imports("p.q.r", source)) == ["a.b", "d.e", "j", "p.g.h", "p.q.f"]


def test_reading_images_loads_no_jax():
    """At run time too: what the host's threads use must not drag JAX in through somebody else."""
    code = (
        "import sys\n"
        "from cc_jax.data import buckets, density, files, images, pipeline, prefetch, transforms, video\n"
        "print(sorted({'jax', 'flax', 'tensorflow', 'grain', 'array_record', 'torch'} & set(sys.modules)))"
    )
    found = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
