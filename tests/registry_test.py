"""registry.py: plug-ins are the files that define their class, and what is read from the source is what Python sees."""

import dataclasses
import importlib
import subprocess
import sys

import pytest
from conftest import ROOT

from cc_jax import registry
from cc_jax.errors import ConfigError

KINDS = ("methods", "models", "uncertainty")
CONTRACTS = {
    kind: getattr(importlib.import_module(module), name)
    for kind in KINDS
    for module, _, name in [registry.KINDS[kind].contract.rpartition(".")]
}
EVERY = [(kind, name) for kind in KINDS for name in registry.names(kind)]

BASE = """
import dataclasses
from cc_jax.methods import base

@dataclasses.dataclass(frozen=True)
class Method(base.Method):
    '''One stage.

    Attributes:
      alpha: How much, a sentence that
        goes on.
      beta, gamma: Two more.
    '''

    display_name = "First"
    summary = "The first of two."

    alpha: float = 0.5
    beta: tuple[int, ...] = (1, 2)
    gamma: str = "g"
"""
DERIVED = """
'''The second of two, by its docstring.

More words.
'''
import dataclasses
from typing import ClassVar
from cc_jax.methods import first as renamed

@dataclasses.dataclass(frozen=True)
class Method(renamed.Method):
    '''As the first.

    Attributes:
      delta: One of its own.
    '''

    limit: ClassVar[int] = 3

    beta: tuple[int, ...] = (3,)
    delta: bool = True
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder of methods that $CC_JAX_PLUGINS names, with two files."""
    monkeypatch.setenv("CC_JAX_PLUGINS", str(tmp_path))
    methods = tmp_path / "methods"
    methods.mkdir()
    (methods / "first.py").write_text(BASE)
    (methods / "second.py").write_text(DERIVED)
    return methods


def test_plug_ins_are_the_files_that_define_their_class():
    assert registry.names("models") == ["lite", "sfcn", "tiny"]
    assert registry.names("uncertainty") == ["deep_ensemble", "masksembles", "mc_dropout", "single"]
    assert {"no_adapt", "ours", "supervised"} < {*registry.names("methods")}
    assert not {"base", "parts"} & {*registry.names("methods")}
    assert "shanghaitech" in registry.names("data.builders") and "labels" not in registry.names(
        "data.builders"
    )


@pytest.mark.parametrize(
    "kind, name, words",
    [
        (
            "methods",
            "our",
            r"no method is called 'our' \(did you mean 'ours'\?\); there are: bla, .*supervised",
        ),
        ("models", "convolution", "no model is called 'convolution'; there are: lite, sfcn, tiny$"),
        ("uncertainty", "masks", "no uncertainty is called 'masks'"),
        ("data.builders", "base", "no dataset is called 'base'"),
    ],
)
def test_a_wrong_name_is_told_the_right_ones(kind, name, words):
    for read in (registry.load, registry.fields):
        with pytest.raises(ConfigError, match=words):
            read(kind, name)


@pytest.mark.parametrize("kind, name", EVERY)
def test_fields_read_from_the_source_are_those_of_the_class(kind, name):
    """But those that the contract has and the class leaves as they are: other sections of the config set them."""
    cls = getattr(registry.load(kind, name), registry.KINDS[kind].defines)
    contract = CONTRACTS[kind]
    declared = {
        n for c in cls.__mro__ if c not in contract.__mro__ for n in c.__dict__.get("__annotations__", ())
    }
    flax = {"parent", "name"}
    expected = {f.name: f.default for f in dataclasses.fields(cls) if f.name in declared - flax}
    fields = registry.fields(kind, name)
    assert {field.name: field.default for field in fields} == expected
    assert all(field.meaning.endswith(".") for field in fields), "each one has a sentence under Attributes:"
    unset = {f.name for f in dataclasses.fields(contract)} - flax - {field.name for field in fields}
    assert {f.name for f in dataclasses.fields(cls)} - flax == unset | {*expected}


@pytest.mark.parametrize("kind, name", EVERY)
def test_every_plug_in_says_what_it_is(kind, name):
    about, cls = registry.about(kind, name), getattr(registry.load(kind, name), registry.KINDS[kind].defines)
    assert about.display_name == cls.display_name and about.summary == cls.summary
    assert about.summary.endswith(".") and about.summary.count(". ") == 0, "one sentence"
    assert kind != "methods" or about.table_position == cls.table_position


def test_tables_list_the_methods_from_the_baseline_to_the_bound():
    position = {name: registry.about("methods", name).table_position for name in registry.names("methods")}
    assert len({*position.values()}) == len(position)
    order = sorted(position, key=position.get)
    assert order[0] == "no_adapt" and order[-2:] == ["ours", "supervised"]


def test_a_folder_outside_adds_plug_ins(folder):
    assert {"first", "second", "ours"} < {*registry.names("methods")}
    first, second = registry.fields("methods", "first"), registry.fields("methods", "second")
    assert [(f.name, f.default) for f in first] == [("alpha", 0.5), ("beta", (1, 2)), ("gamma", "g")]
    assert first[0].meaning == "How much, a sentence that goes on."
    assert first[1].meaning == first[2].meaning == "Two more."
    assert {f.name: f.default for f in second} == {"alpha": 0.5, "beta": (3,), "gamma": "g", "delta": True}
    assert {f.name: f.meaning for f in second}["beta"] == "Two more."
    assert registry.defaults("methods")["first"] == {"alpha": 0.5, "beta": (1, 2), "gamma": "g"}
    method = registry.load("methods", "second").Method(steps=8, label_scale=1.0)
    assert dataclasses.asdict(method) == {
        "steps": 8, "label_scale": 1.0, "alpha": 0.5, "beta": (3,), "gamma": "g", "delta": True,
    }  # fmt: skip


def test_what_a_file_does_not_say_of_itself_is_made_up_from_its_name_and_docstring(folder):
    second = registry.about("methods", "second")
    assert second == registry.About(
        "second", "second", "The second of two, by its docstring.", "With second", 80
    )
    assert registry.about("methods", "first").headline == "With First"
    gone = registry.about("methods", "gone")
    assert (gone.display_name, gone.summary) == ("gone", "")


def test_a_changed_file_is_read_again(folder):
    (folder / "first.py").write_text(BASE.replace("0.5", "0.25") + "\n\n# longer")
    assert registry.defaults("methods")["first"]["alpha"] == 0.25


def test_the_packages_own_files_win(folder):
    (folder / "ours.py").write_text(BASE)
    (folder / "base.py").write_text(BASE)
    assert "rule" in registry.defaults("methods")["ours"]
    assert "base" not in registry.names("methods")


@pytest.mark.parametrize(
    "change, words",
    [
        (
            ("alpha: float = 0.5", "alpha: float = 1 / 2"),
            "first.py: the field 'alpha' needs a literal default",
        ),
        (("alpha: float = 0.5", "alpha: float"), "first.py: the field 'alpha' needs a literal default"),
        (("class Method", "class Method class"), "first.py cannot be read as Python"),
    ],
)
def test_a_file_that_cannot_be_read_is_named(folder, change, words):
    (folder / "first.py").write_text(BASE.replace(*change))
    with pytest.raises(ConfigError, match=words):
        registry.defaults("methods")


def test_a_missing_folder_of_plug_ins_is_named(tmp_path, monkeypatch):
    monkeypatch.setenv("CC_JAX_PLUGINS", str(tmp_path / "typo"))
    with pytest.raises(ConfigError, match="CC_JAX_PLUGINS names .*typo, which is not a folder"):
        registry.names("methods")


def test_a_config_needs_no_jax():
    """Flag errors are told before JAX has started, although the fields of plug-ins are part of the config."""
    code = (
        "import sys; from configs import demo; config = demo.get_config('smoke'); "
        "print(config.method.gp.bank, sorted({'jax', 'flax', 'optax', 'numpy'} & set(sys.modules)))"
    )
    found = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "1024 []"
