"""Reference pages that follow from the code: the commands with their flags, the fields of a config, the counter's card.

mkdocs calls `pages` when it builds the site, see hooks.py. By hand, from the root of the checkout:

    python docs/generate.py            prints {page: text} as JSON
"""

import ast
import dataclasses
import functools
import importlib
import inspect
import io
import json
import pathlib
import re
import sys
import tokenize
from operator import getitem
from typing import Any

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from absl import flags  # noqa: E402
from ml_collections import ConfigDict  # noqa: E402

from cc_jax import app, cli, registry  # noqa: E402

# Sections of the config that hold a section for each plug-in, and the kind of these.
PLUGIN_SECTIONS = {"method": "methods", "model": "models", "uncertainty": "uncertainty"}


@functools.cache
def pages() -> dict[str, str]:
    """Return {path below docs/: Markdown} of the generated pages."""
    return {
        "reference/commands.md": commands_page(),
        "reference/config.md": config_page(),
        "reference/counter.md": (ROOT / "cc_jax/weights/card.md").read_text() + COUNTER_PICTURES,
    }


# The card is part of the package, the picture is not.
COUNTER_PICTURES = """
## Pictures

![Six images and their densities: composed scenes, a render, and three without people](../images/counter.jpg)

Each image beside its density and its count. The composed scenes are of a kind that it was trained on, the Unity render is
not. There it misses people near the camera, and those who are hidden are counted in its 169. Nobody is in the last three:
panoramas by Poly Haven, gravel from scikit-image (all CC0).
"""


# Commands


def commands_page() -> str:
    """Return the page on all commands and tools."""
    shared = [flag for flag in map(flags.FLAGS.__getitem__, flags.FLAGS) if flag.name == "debug"]
    parts = [
        "# Commands",
        "Every command is called as `cc-jax NAME` or as `python -m MODULE`. "
        "Flags are written `--name=value`; [exit codes](exit_codes.md) are the same for all. "
        "This page is generated from the programs.",
        f"All of them take `--{shared[0].name}`: {shared[0].help}",
    ]
    for module in programs():
        names = [f"cc-jax {name}" for name, of in cli.COMMANDS.items() if of == module]
        title = names[0] if names else f"python -m {module}"
        parts += [f"## {title}", *_describe_program(module, title)]
    return "\n\n".join(parts) + "\n"


def programs() -> list[str]:
    """Return the modules that can be run: the commands of `cc-jax` in its order, then all others."""
    paths = [path for path in sorted((ROOT / "cc_jax").rglob("*.py")) if "app.run(main" in path.read_text()]
    modules = [".".join(path.relative_to(ROOT).with_suffix("").parts) for path in paths]
    modules = [module.removesuffix(".__main__") for module in modules if module != "cc_jax.app"]
    return [*cli.COMMANDS.values(), *(module for module in modules if module not in cli.COMMANDS.values())]


def _describe_program(module: str, title: str) -> list[str]:
    doc, own = _import_program(module)
    parts = []
    for paragraph in re.split(r"\n\s*\n", doc.replace(f"python -m {module}", title)):
        is_usage = re.search(rf"^\s*(usage: )?{re.escape(title)}", paragraph, re.MULTILINE)
        parts.append(f"```text\n{paragraph}\n```" if is_usage else _prose(paragraph))
    rows = ["| flag | default | meaning |", "| --- | --- | --- |"]
    rows += [f"| `--{flag.name}` | {_default_of(flag)} | {_cell(_help_of(flag))} |" for flag in own]
    return [*parts, "\n".join(rows)]


def _prose(paragraph: str) -> str:
    """Return the paragraph of a docstring as Markdown: indented lines are a list."""
    lines: list[str] = []
    for line in paragraph.splitlines():
        item = line.startswith("  ")
        if lines and item != lines[-1].startswith("- "):
            lines.append("")
        lines.append(f"- {line.strip()}" if item else line)
    return "\n".join(lines)


def _import_program(module: str) -> tuple[str, list[flags.Flag]]:
    """Return (docstring, flags) of a program. Its flags are removed again, because other programs have some of the same."""
    path = ROOT.joinpath(*module.split("."))
    before = set(flags.FLAGS)
    imported = importlib.import_module(f"{module}.__main__" if path.is_dir() else module)
    names = sorted(set(flags.FLAGS) - before)
    own = [flags.FLAGS[name] for name in names]
    for name in names:
        delattr(flags.FLAGS, name)
    return inspect.cleandoc(imported.__doc__ or ""), own


def _help_of(flag: flags.Flag) -> str:
    """Return the help of a flag without what absl adds to flags that may be repeated."""
    return (flag.help or "").removesuffix(";\n    repeat this option to specify a list of values")


def _default_of(flag: flags.Flag) -> str:
    return "" if flag.default in (None, "") else f"`{flag.default}`"


# Config


def config_page() -> str:
    """Return the page on all fields of a config."""
    app.make_configs_importable()
    default = importlib.import_module("configs.default")
    described = Described.of(inspect.getsource(default))
    parts = [
        "# Configuration",
        "Every field of a run, with the default of `configs/default.py` or of the plug-in that it belongs to. "
        "Experiments in `configs/` change what they need, and the command line changes any field: "
        "`--config.steps=1000`, `--config.method.name=se_fd`, `--config.sweep.seeds='(0,1,2)'`. "
        "A field that does not exist is an error that names its nearest neighbor. "
        "[Why the defaults are what they are](../results/settings.md) lists the measurements behind them. "
        "This page is generated from the code.",
    ]
    config = default.get_config()
    sections = [name for name in described.sections if isinstance(config.get(name), ConfigDict)]
    for name in ("", *sections):
        prefix, section = (f"{name}.", config[name]) if name else ("", config)
        summary, meanings = described.sections[name] if name else ("", described.fields)
        values = {field: value for field, value in section.items() if not isinstance(value, ConfigDict)}
        if name:
            # Sections within a section, such as `source.end`, but not those of plug-ins, which follow below.
            inner = {field for field in meanings if "." in field}
            values |= {field: functools.reduce(getitem, field.split("."), section) for field in inner}
        rows = {field: values[field] for field in [*meanings, *values] if field in values}
        parts += [f"## {name or 'The run'}", *filter(None, [summary]), _table(prefix, rows, meanings)]
        if name in PLUGIN_SECTIONS:
            parts += _plugin_parts(name, PLUGIN_SECTIONS[name])
    return "\n\n".join(parts) + "\n"


@dataclasses.dataclass(frozen=True)
class Described:
    """What the source of configs/default.py says of the fields.

    Attributes:
      fields: {field: comment} of the config itself, in the order of the source.
      sections: {section: (docstring, {field: comment})}.
    """

    fields: dict[str, str]
    sections: dict[str, tuple[str, dict[str, str]]]

    @classmethod
    def of(cls, source: str) -> "Described":
        """Read the function `get_config`, and the functions that it calls for its sections."""
        functions = {node.name: node for node in ast.parse(source).body if isinstance(node, ast.FunctionDef)}
        comments = own_line_comments(source)

        def fields_of(name: str) -> dict[str, str]:
            found: dict[str, str] = {}
            for target, called, line in _assignments(functions[name]):
                if "." not in target:
                    found |= fields_of(called) if called in functions else {}
                elif called in functions:
                    section = target.partition(".")[2]
                    found |= {f"{section}.{field}": text for field, text in fields_of(called).items()}
                else:
                    field = target.partition(".")[2]
                    found[field] = " ".join(filter(None, [found.get(field), _comment_above(comments, line)]))
            return found

        sections = {}
        for target, called, _ in _assignments(functions["get_config"]):
            if called in functions:
                doc = ast.get_docstring(functions[called]) or ""
                sections[target.partition(".")[2]] = doc, fields_of(called)
        return cls(fields_of("get_config"), sections)


def _assignments(function: ast.FunctionDef) -> list[tuple[str, str, int]]:
    """Return (target, the function that is called for its value, line) of the assignments in a function's body."""
    return [
        (ast.unparse(node.targets[0]), node.value.func.id if _is_call(node.value) else "", node.lineno)
        for node in function.body
        if isinstance(node, ast.Assign)
    ]


def _is_call(node: ast.expr) -> bool:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name)


def own_line_comments(source: str) -> dict[int, str]:
    """Return {line: text} of the comments that stand on lines of their own."""
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    return {
        token.start[0]: token.string.lstrip("#").strip()
        for token in tokens
        if token.type == tokenize.COMMENT and not token.line[: token.start[1]].strip()
    }


def _comment_above(comments: dict[int, str], line: int) -> str:
    above = []
    while line - 1 in comments:
        line -= 1
        above.insert(0, comments[line])
    return " ".join(above)


def _plugin_parts(section: str, kind: str) -> list[str]:
    """Return heading, summary and fields of each plug-in of a kind, in the order of tables."""
    parts = []
    for about in sorted((registry.about(kind, name) for name in registry.names(kind)), key=_table_order):
        shown = f" ({about.display_name})" if about.display_name != about.name else ""
        parts += [
            f"### {section}.{about.name}{shown}",
            f"`config.{section}.name={about.name}`. {about.summary}",
        ]
        fields = registry.fields(kind, about.name)
        if fields:
            values = {field.name: field.default for field in fields}
            meanings = {field.name: field.meaning for field in fields}
            parts.append(_table(f"{section}.{about.name}.", values, meanings))
    return parts


def _table_order(about: registry.About) -> tuple[int, str]:
    return about.table_position, about.name


def _table(prefix: str, values: dict[str, Any], meanings: dict[str, str]) -> str:
    rows = ["| field | default | meaning |", "| --- | --- | --- |"]
    for name, value in values.items():
        meaning = _cell(meanings.get(name, ""))
        rows.append(f"| `{prefix}{name}` | `{_cell(repr(value))}` | {meaning} |")
    return "\n".join(rows)


def _cell(text: str) -> str:
    """Return the text as one cell of a Markdown table, a sentence."""
    text = " ".join(text.split()).replace("|", "\\|")
    return text[:1].upper() + text[1:] if re.match(r"[a-z]+ ", text) else text


if __name__ == "__main__":
    print(json.dumps(pages()))
