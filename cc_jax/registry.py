"""Plug-ins, found by the name of their file: `load("methods", "ours")` imports `cc_jax.methods.ours`.

A file is a plug-in because of what it defines: one in `methods/` that defines a subclass `Method`, one in
`data/builders/` that defines `Builder`. Helpers may lie beside it. Files are parsed for that, not imported, so that
listing names needs no JAX.

Plug-ins may also lie outside the package, in the folders of $CC_JAX_PLUGINS (separated like those of $PATH), each laid
out like `cc_jax/` itself: `FOLDER/methods/mixup.py` is the method `mixup`.
"""

import ast
import dataclasses
import difflib
import functools
import importlib
import os
import pathlib
import types

from cc_jax.errors import ConfigError

# What a file of each folder must define to be a plug-in.
KINDS = {
    "methods": "Method",
    "models": "Model",
    "uncertainty": "Uncertainty",
    "data.builders": "Builder",
    "tools.bench.suites": "run",
}


@dataclasses.dataclass(frozen=True)
class About:
    """What tables and reports say of a plug-in. Read from its file, which is not imported.

    Attributes:
      name: the file's name, which configs use.
      display_name: how tables write it; the file's name unless the class says otherwise.
      summary: one sentence for a reader who has never heard of it; the first line of the file's docstring unless the
        class says otherwise.
      headline: how a report's headline begins with its result; "With `display_name`" unless the class says otherwise.
      table_position: tables list plug-ins in ascending order of it.
    """

    name: str
    display_name: str
    summary: str
    headline: str
    table_position: int


def names(kind: str) -> list[str]:
    """Names that `load(kind, name)` accepts, sorted. `kind` is a key of `KINDS`."""
    return sorted(_files(kind))


def load(kind: str, name: str) -> types.ModuleType:
    """Import the plug-in `name` of `kind`.

    Raises ConfigError with the names of its siblings when there is no such plug-in.
    """
    if name not in _files(kind):
        raise ConfigError(_unknown(kind, name))
    package = importlib.import_module(f"cc_jax.{kind}")
    for folder in map(str, _folders(kind)):
        if folder not in package.__path__:
            package.__path__.append(folder)
    return importlib.import_module(f"cc_jax.{kind}.{name}")


def about(kind: str, name: str) -> About:
    """What the plug-in's file says of it. A name without a file is its own display name: results outlive their methods."""
    path = _files(kind).get(name)
    tree = ast.parse(path.read_text()) if path else ast.Module(body=[], type_ignores=[])
    said = _class_constants(tree, KINDS[kind])
    display_name = said.get("display_name", name)
    summary = said.get("summary") or (ast.get_docstring(tree) or "").partition("\n")[0]
    headline = said.get("headline", f"With {display_name}")
    return About(name, display_name, summary, headline, said.get("table_position", 80))


def _unknown(kind: str, name: str) -> str:
    known = names(kind)
    near = difflib.get_close_matches(name, known, n=1)
    hint = f" (did you mean {near[0]!r}?)" if near else ""
    return f"cc_jax/{kind.replace('.', '/')} has no {name!r}{hint}; there are: {', '.join(known)}"


def _folders(kind: str) -> list[pathlib.Path]:
    """The package's own folder of `kind`, then those of $CC_JAX_PLUGINS."""
    roots = [pathlib.Path(__file__).parent]
    roots += [pathlib.Path(root) for root in os.environ.get("CC_JAX_PLUGINS", "").split(os.pathsep) if root]
    return [root.joinpath(*kind.split(".")) for root in roots]


def _files(kind: str) -> dict[str, pathlib.Path]:
    """{name: file} of the plug-ins of `kind`; of two with one name the package's own counts."""
    paths = (path for folder in reversed(_folders(kind)) for path in sorted(folder.glob("*.py")))
    return {path.stem: path for path in paths if _defines(path, path.stat().st_mtime_ns, KINDS[kind])}


@functools.cache
def _defines(path: pathlib.Path, modified: int, name: str) -> bool:
    """Whether the file binds `name` at its top level: a subclass, a function or an assignment.

    A class without a base is a contract, which plug-ins implement, and no plug-in itself.
    """
    del modified  # part of the cache's key
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.ClassDef) and node.name == name:
            return bool(node.bases)
        if isinstance(node, ast.FunctionDef) and node.name == name:
            return True
        if isinstance(node, ast.Assign) and any(
            isinstance(t, ast.Name) and t.id == name for t in node.targets
        ):
            return True
    return False


def _class_constants(tree: ast.Module, name: str) -> dict:
    """The constants that the body of class `name` assigns."""
    found = {}
    for node in tree.body:
        if isinstance(node, ast.ClassDef) and node.name == name:
            for statement in node.body:
                if isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Name):
                    target, value = statement.targets[0].id, statement.value
                elif isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
                    target, value = statement.target.id, statement.value
                else:
                    continue
                try:
                    found[target] = ast.literal_eval(value) if value is not None else None
                except ValueError:  # not a constant
                    continue
    return found
