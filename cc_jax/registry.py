"""Plug-ins, found by the name of their file: `load("methods", "ours")` imports `cc_jax.methods.ours`.

A file is a plug-in if it defines the class that its folder asks for: `methods/ours.py` defines a subclass `Method`,
`data/builders/jhu.py` defines `Builder`. Helper modules may lie beside plug-ins.

Plug-ins may also lie outside the package, in the folders of $CC_JAX_PLUGINS (separated like those of $PATH). Each such
folder is laid out like `cc_jax/` itself: `FOLDER/methods/mixup.py` is the method `mixup`.

Names, descriptions and fields are read from the source with `ast`, without importing it: configs, tables and reports need
them, and importing a plug-in imports JAX, which takes ten times as long as all the rest of a command's start.
"""

import ast
import dataclasses
import functools
import importlib
import os
import pathlib
import re
import types
from typing import Any

from cc_jax.errors import ConfigError, did_you_mean


@dataclasses.dataclass(frozen=True)
class Kind:
    """What a folder of plug-ins holds.

    Attributes:
      noun: how messages call one of them.
      defines: the class or function that a file must define to be one.
      contract: dotted name of the class that plug-ins subclass. Its own fields are set by other sections of the config.
    """

    noun: str
    defines: str
    contract: str = ""


KINDS = {
    "methods": Kind("method", "Method", "cc_jax.methods.base.Method"),
    "models": Kind("model", "Model", "cc_jax.models.parts.decoder.CountingModel"),
    "uncertainty": Kind("uncertainty", "Uncertainty", "cc_jax.uncertainty.base.Uncertainty"),
    "data.builders": Kind("dataset", "Builder"),
    "tools.bench.suites": Kind("benchmark suite", "run"),
}


@dataclasses.dataclass(frozen=True)
class About:
    """What tables and reports say of a plug-in, from constants of its class.

    Attributes:
      name: the file's name, which configs use.
      display_name: how tables write it; `name` unless the class says otherwise.
      summary: one sentence for a reader who has never heard of it; the first line of the file's docstring unless the
        class says otherwise.
      headline: how a report's headline begins with its result; "With `display_name`" unless the class says otherwise.
      table_position: tables list plug-ins in ascending order of it.
    """

    name: str
    display_name: str
    summary: str
    headline: str
    table_position: float


@dataclasses.dataclass(frozen=True)
class Field:
    """A field of a plug-in that a config may set, as `config.method.NAME.FIELD` for a method.

    Attributes:
      name: the field's name.
      default: its value unless a config says otherwise: a number, string, bool, or tuple of them.
      meaning: what it does, from the section "Attributes:" of the class docstring.
    """

    name: str
    default: Any
    meaning: str


def names(kind: str) -> list[str]:
    """Return the names that `load(kind, name)` accepts, sorted. `kind` is a key of `KINDS`."""
    return sorted(_files(kind))


def load(kind: str, name: str) -> types.ModuleType:
    """Import the plug-in `name` of `kind`.

    Raises ConfigError with the names of its siblings when there is no such plug-in.
    """
    _check_name(kind, name)
    package = importlib.import_module(f"cc_jax.{kind}")
    for folder in map(str, _folders(kind)):
        if folder not in package.__path__:
            package.__path__.append(folder)
    return importlib.import_module(f"cc_jax.{kind}.{name}")


def about(kind: str, name: str) -> About:
    """Return what the plug-in's file says of it.

    A name without a file is its own display name, because results outlive the methods that made them.
    """
    path = _files(kind).get(name)
    tree = _parse(path) if path else ast.Module(body=[], type_ignores=[])
    constants = _class_constants(tree, KINDS[kind].defines)
    display_name = constants.get("display_name", name)
    return About(
        name=name,
        display_name=display_name,
        summary=constants.get("summary") or (ast.get_docstring(tree) or "").partition("\n")[0],
        headline=constants.get("headline", f"With {display_name}"),
        table_position=constants.get("table_position", 80),
    )


def fields(kind: str, name: str) -> list[Field]:
    """Return the fields of the plug-in's class that a config may set, inherited ones first.

    These are the annotated fields of the class and of the classes that it inherits from, up to the contract of its kind.
    A field of the contract counts where a class below declares it again. Classes outside of `cc_jax` and of the plug-in
    folders are not looked into.

    Raises ConfigError when there is no such plug-in, and when a field has no literal default.
    """
    _check_name(kind, name)
    return list(_class_fields(f"cc_jax.{kind}.{name}", KINDS[kind].defines, KINDS[kind].contract).values())


def defaults(kind: str) -> dict[str, dict[str, Any]]:
    """Return {plug-in: {field: default}} of the plug-ins of `kind` that have fields."""
    every = {name: {field.name: field.default for field in fields(kind, name)} for name in names(kind)}
    return {name: own for name, own in every.items() if own}


def configs_folder() -> pathlib.Path:
    """Return the folder of the shipped configs: inside an installed package, beside the package in a checkout."""
    package = pathlib.Path(__file__).parent
    installed = package / "configs"
    return installed if installed.is_dir() else package.parent / "configs"


def _check_name(kind: str, name: str) -> None:
    known = names(kind)
    if name in known:
        return
    raise ConfigError(
        f"no {KINDS[kind].noun} is called {name!r}{did_you_mean(name, known)}; there are: {', '.join(known)}"
    )


def _roots() -> list[pathlib.Path]:
    """The package's own folder, then those of $CC_JAX_PLUGINS. Raises ConfigError when one of these is no folder."""
    listed = os.environ.get("CC_JAX_PLUGINS", "").split(os.pathsep)
    outside = [pathlib.Path(root).absolute() for root in listed if root]
    for root in outside:
        if not root.is_dir():
            raise ConfigError(
                f"$CC_JAX_PLUGINS names {root}, which is not a folder: create it or correct the variable"
            )
    return [pathlib.Path(__file__).parent, *outside]


def _folders(kind: str) -> list[pathlib.Path]:
    return [root.joinpath(*kind.split(".")) for root in _roots()]


def _files(kind: str) -> dict[str, pathlib.Path]:
    """{name: file} of the plug-ins of `kind`; where two files have one name, the package's own wins, as in imports."""
    files = {path.stem: path for folder in reversed(_folders(kind)) for path in folder.glob("*.py")}
    return {name: path for name, path in files.items() if _defines(_parse(path), KINDS[kind].defines)}


def _parse(path: pathlib.Path) -> ast.Module:
    """Parse the file. Raises ConfigError when it is no Python."""
    return _parse_version(path, path.stat().st_mtime_ns)


@functools.cache
def _parse_version(path: pathlib.Path, modified_ns: int) -> ast.Module:
    del modified_ns  # only a key of the cache
    try:
        return ast.parse(path.read_text())
    except (SyntaxError, ValueError) as error:
        raise ConfigError(f"{path} cannot be read as Python: {error}") from error


def _defines(tree: ast.Module, name: str) -> bool:
    """Whether the file binds `name` at its top level: a subclass, a function or an assignment.

    A class without a base class is a contract for plug-ins, and is not itself a plug-in.
    """
    for node in tree.body:
        if isinstance(node, ast.ClassDef) and node.name == name:
            return bool(node.bases)
        if isinstance(node, ast.FunctionDef) and node.name == name:
            return True
        if isinstance(node, ast.Assign) and any(ast.unparse(target) == name for target in node.targets):
            return True
    return False


def _class_of(tree: ast.Module, name: str) -> ast.ClassDef | None:
    return next((node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == name), None)


def _class_constants(tree: ast.Module, name: str) -> dict[str, Any]:
    """The literals that the body of class `name` assigns."""
    constants = {}
    for node in getattr(_class_of(tree, name), "body", []):
        if isinstance(node, (ast.Assign, ast.AnnAssign)) and node.value is not None:
            target = node.targets[0] if isinstance(node, ast.Assign) else node.target
            try:
                constants[ast.unparse(target)] = ast.literal_eval(node.value)
            except ValueError:
                # Not a literal, and so none of the constants that `about` reads.
                continue
    return constants


def _class_fields(module: str, name: str, contract: str) -> dict[str, Field]:
    """{field: Field} of a class of `module` and of its base classes below `contract`."""
    path = _source(module)
    node = _class_of(_parse(path), name) if path else None
    if path is None or node is None or f"{module}.{name}" == contract:
        return {}
    found: dict[str, Field] = {}
    imported = _imports(_parse(path), module)
    # Reversed as in dataclasses: of several base classes the first has the last word.
    for base in reversed(node.bases):
        local, _, rest = ast.unparse(base).partition(".")
        dotted = ".".join(filter(None, (imported.get(local, f"{module}.{local}"), rest)))
        base_module, _, base_name = dotted.rpartition(".")
        found |= _class_fields(base_module, base_name, contract)
    meanings = _meanings(ast.get_docstring(node) or "")
    for statement in node.body:
        if isinstance(statement, ast.AnnAssign) and "ClassVar" not in ast.unparse(statement.annotation):
            field = ast.unparse(statement.target)
            inherited = found[field].meaning if field in found else ""
            default = _default(statement, path, field)
            found[field] = Field(field, default, meanings.get(field, inherited))
    return found


def _default(statement: ast.AnnAssign, path: pathlib.Path, field: str) -> Any:
    try:
        return ast.literal_eval(statement.value)  # pyright: ignore[reportArgumentType]
    except (ValueError, TypeError) as error:
        raise ConfigError(
            f"{path}: the field {field!r} needs a literal default, because configs read it without running the file; "
            "annotate it as a ClassVar if configs shall not set it"
        ) from error


def _source(module: str) -> pathlib.Path | None:
    """The file of a module of `cc_jax` or of the plug-in folders; None for any other."""
    package, *rest = module.split(".")
    paths = (
        [root.joinpath(*rest).with_suffix(".py") for root in _roots()] if package == "cc_jax" and rest else []
    )
    return next((path for path in paths if path.is_file()), None)


def _imports(tree: ast.Module, module: str) -> dict[str, str]:
    """{local name: dotted name} of what the file imports at its top level."""
    found = {}
    for node in tree.body:
        if isinstance(node, ast.ImportFrom):
            package = module.rsplit(".", node.level)[0] if node.level else ""
            origin = ".".join(filter(None, (package, node.module)))
            found |= {alias.asname or alias.name: f"{origin}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Import):
            for alias in node.names:
                top = alias.name.partition(".")[0]
                found[alias.asname or top] = alias.name if alias.asname else top
    return found


def _meanings(docstring: str) -> dict[str, str]:
    """{name: text} of the section "Attributes:" of a class docstring; `a, b: text` describes both."""
    section = re.search(r"^Attributes:\n((?:[ \t]+.*\n?|\n)+)", docstring, re.MULTILINE)
    entries = re.findall(
        r"^  (\w+(?:, \w+)*): (.*(?:\n    .*)*)", section[1] if section else "", re.MULTILINE
    )
    return {name: " ".join(text.split()) for listed, text in entries for name in listed.split(", ")}
