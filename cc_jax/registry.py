"""Plug-ins found by file name: `load("methods", "ours")` is the module `cc_jax.methods.ours`."""

import difflib
import importlib
import pathlib
import types

from cc_jax.errors import ConfigError

_ROOT = pathlib.Path(__file__).parent
# Modules that the plug-ins of a folder share; they are no plug-ins themselves.
_SHARED = {
    "methods": {"base"},
    "uncertainty": {"base", "masks"},
    "data.builders": {"base", "labels", "matlab"},
}


def names(kind: str) -> list[str]:
    """Names that `load(kind, name)` accepts, sorted."""
    folder = _ROOT.joinpath(*kind.split("."))
    found = {path.stem for path in folder.glob("*.py")} - {"__init__"} - _SHARED.get(kind, set())
    return sorted(found)


def load(kind: str, name: str) -> types.ModuleType:
    """Imports the plug-in `name` of `kind`, a folder of cc_jax ("methods", "models", "data.builders").

    Raises ConfigError naming the siblings when there is no such file.
    """
    known = names(kind)
    if name not in known:
        near = difflib.get_close_matches(name, known, n=1)
        hint = f" (did you mean {near[0]!r}?)" if near else ""
        raise ConfigError(
            f"cc_jax/{kind.replace('.', '/')} has no {name!r}{hint}; there are: {', '.join(known)}"
        )
    return importlib.import_module(f"cc_jax.{kind}.{name}")
