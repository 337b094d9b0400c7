"""The console command `cc-jax`: `cc-jax COMMAND ...` is `python -m cc_jax.COMMAND ...`.

usage: cc-jax COMMAND [ARGUMENTS]          `cc-jax COMMAND --help` prints what a command takes
       cc-jax completion bash|zsh|fish     prints a completion script: eval "$(cc-jax completion bash)"
       cc-jax --version
"""

import ast
import os
import pathlib
import re
import runpy
import sys

import cc_jax
from cc_jax.errors import did_you_mean

COMMANDS = {
    "train": "cc_jax.train",
    "evaluate": "cc_jax.evaluate",
    "predict": "cc_jax.predict",
    "prepare": "cc_jax.prepare",
    "tabulate": "cc_jax.tabulate",
    "inspect": "cc_jax.tools.inspect_dataset",
    "convert": "cc_jax.tools.convert_weights",
    "bench": "cc_jax.tools.bench",
}
SHELLS = ("bash", "zsh", "fish")


def main() -> None:
    """Entry point of the console script."""
    try:
        _dispatch(sys.argv[1:])
        sys.stdout.flush()
    except BrokenPipeError:
        # Nobody reads the output any more (`cc-jax --help | head`). Python would complain again at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _dispatch(words: list[str]) -> None:
    match words:
        case ["--help" | "-h" | "help"]:
            print(_help())
        case ["--version"]:
            print(f"cc-jax {cc_jax.__version__}")
        case ["completion", shell] if shell in SHELLS:
            print(completion(shell))
        case [command, *arguments] if command in COMMANDS:
            _run(command, arguments)
        case wrong:
            print(f"cc-jax: {_complaint(wrong)}", file=sys.stderr)
            sys.exit(2)


def _run(command: str, arguments: list[str]) -> None:
    """Run the program's module as `python -m` does. It exits by itself."""
    sys.argv = ["cc-jax", *arguments]
    try:
        runpy.run_module(
            COMMANDS[command],
            init_globals={"__program__": f"cc-jax {command}"},
            run_name="__main__",
            alter_sys=True,
        )
    except ModuleNotFoundError as error:
        # Imported here, because `cc-jax --help` needs the standard library alone.
        from cc_jax import app

        missing = app.missing_package(error)
        if missing is None:
            raise
        print(f"cc-jax {command}: {missing}", file=sys.stderr)
        sys.exit(missing.exit_code)


def completion(shell: str) -> str:
    """Return a script that completes the commands and their flags in bash, zsh or fish."""
    words = {command: [f"--{name}" for name in flag_names(command)] for command in COMMANDS}
    words["completion"] = list(SHELLS)
    if shell == "fish":
        lines = [f"complete -c cc-jax -n __fish_use_subcommand -f -a '{' '.join(words)}'"]
        for command, names in words.items():
            lines.append(
                f"complete -c cc-jax -n '__fish_seen_subcommand_from {command}' -a '{' '.join(names)}'"
            )
        return "\n".join(lines)
    # zsh runs completion functions of bash.
    lines = ["autoload -U +X bashcompinit && bashcompinit"] if shell == "zsh" else []
    lines += [
        "_cc_jax() {",
        f"  local words='{' '.join(words)}'",
        '  [ "$COMP_CWORD" -eq 1 ] || case ${COMP_WORDS[1]} in',
        *(f"    {command}) words='{' '.join(names)}' ;;" for command, names in words.items()),
        "  esac",
        '  COMPREPLY=($(compgen -W "$words" -- "${COMP_WORDS[COMP_CWORD]}"))',
        "}",
        "complete -o default -F _cc_jax cc-jax",
    ]
    return "\n".join(lines)


def summary(command: str) -> str:
    """Return the first sentence of the program's docstring, without the usage line."""
    paragraphs = re.split(r"\n\s*\n", ast.get_docstring(_tree(command)) or "")
    told = next((one for one in paragraphs if not one.startswith("usage:")), "")
    return re.split(r"\.(?:\s|$)", " ".join(told.split()), maxsplit=1)[0]


def flag_names(command: str) -> list[str]:
    """Return the names of the flags that the program defines, read from its source without importing it."""
    found = {"help", "debug"}
    for call in (node for node in ast.walk(_tree(command)) if isinstance(node, ast.Call)):
        name = call.func.attr if isinstance(call.func, ast.Attribute) else ""
        if name.startswith("define_"):
            found.add(name.removeprefix("define_"))
        elif name.startswith("DEFINE_") and isinstance(call.args[0], ast.Constant):
            found.add(str(call.args[0].value))
    return sorted(found)


def _tree(command: str) -> ast.Module:
    path = pathlib.Path(cc_jax.__path__[0], *COMMANDS[command].split(".")[1:])
    file = path.with_suffix(".py")
    return ast.parse((file if file.is_file() else path / "__main__.py").read_text(encoding="utf-8"))


def _help() -> str:
    lines = [f"  {command:<10} {summary(command)}" for command in COMMANDS]
    return "\n".join([(__doc__ or "").strip(), "", "commands:", *lines])


def _complaint(arguments: list[str]) -> str:
    """Say what is wrong with the arguments, and name the command that was probably meant."""
    if not arguments:
        return f"no command given; the commands are: {', '.join(COMMANDS)}"
    if arguments[0] == "completion":
        return f"completion takes one shell: {', '.join(SHELLS)}"
    hint = did_you_mean(arguments[0], COMMANDS)
    return f"no command {arguments[0]!r}{hint}; the commands are: {', '.join(COMMANDS)}"
