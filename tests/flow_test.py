"""Which folder may import what: DESIGN.md's arrows, and no cycle between folders.

commands -> {training, counting} -> {build, evaluation, workdir, report}; training -> methods;
build -> {models, uncertainty (by registry), optimization}; evaluation -> inference -> {data, distributed, models}.
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
# What drives the plug-ins.
ABOVE = (
    *BINARIES, "cc_jax.app", "cc_jax.cli", "cc_jax.build", "cc_jax.training", "cc_jax.counting", "cc_jax.evaluation",
    "cc_jax.workdir", "cc_jax.report", "cc_jax.tools", "configs",
)  # fmt: skip
# What each folder, or module at the top, may import of the others; errors and units are everybody's. Commands and tools
# stand above all others.
ARROWS = {
    "units": (), "errors": (), "registry": (),
    "data": ("registry",),
    "distributed": (),
    "models": (),
    "uncertainty": (),
    "optimization": (),
    "methods": ("optimization", "models"),
    "inference": ("data", "distributed", "models"),
    "build": ("registry", "distributed", "models", "optimization"),
    "evaluation": ("data", "distributed", "inference", "workdir"),
    "workdir": ("data", "registry"),
    "report": ("data", "registry", "workdir"),
    "counting": ("build", "data", "distributed", "evaluation", "inference", "report", "workdir"),
    "training": ("build", "data", "distributed", "evaluation", "inference", "methods", "optimization", "report", "workdir"),
}  # fmt: skip
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
         allowed=("cc_jax.data", "cc_jax.errors", "cc_jax.registry", "cc_jax.units"),
         snippet=("cc_jax.data.sources", "from cc_jax.training import loop")),
    Rule("orbax stands behind checkpoints.py alone", ("cc_jax", "configs"), ("orbax",), but=("cc_jax.workdir.checkpoints",),
         snippet=("cc_jax.training.loop", "import orbax.checkpoint as ocp")),
    Rule("networks are written in models, uncertainty, methods/parts", ("cc_jax", "configs"), ("flax.linen", "flax.nnx"),
         but=("cc_jax.models", "cc_jax.uncertainty", "cc_jax.methods.parts"),
         snippet=("cc_jax.methods.ours", "from flax import linen as nn")),
    Rule("a plug-in does not know who runs it", PLUGINS, ABOVE,
         snippet=("cc_jax.methods.ours", "from cc_jax.training.loop import x")),
    Rule("a plug-in does not know who runs it (relative import)", PLUGINS, ABOVE,
         snippet=("cc_jax.models.tiny", "from ..training import loop")),
    Rule("methods draw through what they are given", ("cc_jax.methods",), ("cc_jax.models", "cc_jax.uncertainty"),
          allowed=("cc_jax.models.parts",),  # layers for networks beside the counter
         snippet=("cc_jax.methods.ours", "from cc_jax.models import tiny")),
    Rule("models know nothing of methods and uncertainty", ("cc_jax.models",), ("cc_jax.methods", "cc_jax.uncertainty"),
         snippet=("cc_jax.models.sfcn", "from cc_jax.uncertainty.masks import generate")),
    Rule("only binaries read flags and exit", ("cc_jax",), ("cc_jax.app", "absl.flags", "absl.app"),
         but=(*BINARIES, "cc_jax.app", "cc_jax.cli", "cc_jax.tools"),
         snippet=("cc_jax.training.loop", "from absl import flags")),
    Rule("binaries are not libraries", ("cc_jax",), BINARIES, snippet=("cc_jax.training.sweep", "from cc_jax import train")),
    Rule("reports read files, they compute nothing", ("cc_jax.report",), (*JAX, "cc_jax"),
         allowed=("cc_jax.report", "cc_jax.data", "cc_jax.errors", "cc_jax.units", "cc_jax.registry",
                  "cc_jax.workdir.layout", "cc_jax.workdir.panels", "cc_jax.workdir.results"),
         snippet=("cc_jax.report.page", "from cc_jax.evaluation import count_metrics")),
    Rule("predict draws its overlays without matplotlib", ("cc_jax",), ("matplotlib",), but=("cc_jax.report.plots",),
         snippet=("cc_jax.report.overlays", "from matplotlib import cm")),
    Rule("no TensorFlow, nor what imports it", ("cc_jax", "configs", "tests"),
         ("tensorflow", "clu", "flax.metrics", "tensorboardX"), snippet=("cc_jax.app", "from clu import metric_writers")),
    Rule("extras are for side-by-side benchmarks", ("cc_jax", "configs"), EXTRAS, but=("cc_jax.tools.bench",),
         snippet=("cc_jax.uncertainty.masksembles", "import masksembles.torch")),
    Rule("no pickle: it runs code", ("cc_jax", "configs"), ("pickle", "cloudpickle", "dill"),
         but=("cc_jax.tools.convert_weights.torch_files",), snippet=("cc_jax.training.pseudo_labels", "import pickle")),
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


def room_of(module: str) -> str:
    """The folder below cc_jax, or the module at its top, that a name belongs to; "" for all that is not ours."""
    top, _, rest = module.partition(".")
    return rest.partition(".")[0] if top == "cc_jax" else ""


def arrows() -> dict[str, set[str]]:
    """{room: the other rooms that it imports}."""
    found: dict[str, set[str]] = {}
    for module, source in sources():
        room = room_of(module)
        if room:
            found.setdefault(room, set()).update(
                {room_of(name) for name in imports(module, source)} - {room, ""}
            )
    return found


def cycle(edges: dict[str, set[str]]) -> list[str]:
    """Rooms that import each other in a circle; [] when there is none."""
    left = {room: set(others) for room, others in edges.items()}
    while free := [room for room, others in left.items() if not others & set(left)]:
        for room in free:
            del left[room]
    return sorted(left)


def test_rooms_import_along_the_arrows():
    wrong = {
        room: sorted(others - set(ARROWS[room]) - {"errors", "units"})
        for room, others in arrows().items()
        if room in ARROWS and others - set(ARROWS[room]) - {"errors", "units"}
    }
    assert not wrong, wrong


def test_every_room_has_its_arrows():
    commands = {name.partition(".")[2] for name in (*BINARIES, "cc_jax.app", "cc_jax.cli")}
    assert set(arrows()) - set(ARROWS) <= {*commands, "tools"}


def test_no_cycle_between_rooms():
    assert cycle(arrows()) == []
    assert cycle({"a": {"b"}, "b": {"c"}, "c": {"b"}, "d": set()}) == ["a", "b", "c"]


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
        "from cc_jax.data import buckets, density, files, images, prefetch, transforms, video\n"
        "print(sorted({'jax', 'flax', 'tensorflow', 'grain', 'array_record', 'torch'} & set(sys.modules)))"
    )
    found = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def test_training_has_imported_grain_before_it_compiles_on_a_thread():
    """See data/pipeline.py: an import of grain during a trace on another thread breaks that trace."""
    code = "import sys\nimport cc_jax.training.loop\nprint('grain' in sys.modules)"
    found = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "True"
