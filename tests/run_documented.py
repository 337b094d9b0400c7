"""Runs commands and snippets of the documentation in one process: JAX starts once, and programs are compiled once.

usage: python tests/run_documented.py RESULTS < JOBS

JOBS is a JSON list, RESULTS a file that gets a JSON line for each job: {"code": exit code, "output": text}. A job is
{"kind": "run", "argv": [...], "env": {...}}     a command, its first word being cc-jax or the name of a module
{"kind": "flags", ...the same}                   the command's flags are parsed and its config is checked, no more
{"kind": "python", "code": text, "page": name, "optimized": bool}   a snippet; those of one page share their names
{"kind": "pages"}                                the generated pages, as JSON
"""

import contextlib
import glob
import io
import json
import os
import pathlib
import runpy
import sys
import traceback
from collections.abc import Callable, Iterator

from absl import flags

from cc_jax import app, cli

_RUN = app.run
_namespaces: dict[str, dict] = {}


def check_flags(main: Callable, *, positional: bool = False) -> None:
    """Stands in for `app.run`: parses the flags, loads the config and builds what it names."""
    del main
    app.make_configs_importable()
    rest = app._parse(sys.argv)[1:]
    if rest and not positional:
        sys.exit(f"unexpected argument {rest[0]}")
    if "config" in flags.FLAGS and flags.FLAGS["config"].present:
        from cc_jax import build
        from cc_jax.workdir import config as config_file

        config = app.config_of(flags.FLAGS["config"])
        config_file.check_fields(config)
        build.counting_network(config), build.method(config)


def command(argv: list[str], env: dict[str, str], run: Callable) -> None:
    """Run a program as its users do, with `run` in the place of `app.run`. Ends with SystemExit."""
    with patched_environment(env):
        app.run = run
        try:
            # Patterns are expanded as a shell does it.
            sys.argv = [path for word in argv for path in (sorted(glob.glob(word)) or [word])]
            if argv[0] == "cc-jax":
                cli.main()
            else:
                runpy.run_module(argv[0], run_name="__main__", alter_sys=True)
        finally:
            app.run = _RUN
            forget_flags()


def forget_flags() -> None:
    """Remove the flags of the program that has run, so that the next one can define its own; those of libraries stay."""
    for name in set(flags.FLAGS) - {"debug"}:
        module = flags.FLAGS.find_module_defining_flag(name, "")
        # A program that is run as `__main__` goes by the path of its file.
        if "cc_jax" in module or name.partition(".")[0] == "config":
            delattr(flags.FLAGS, name)
    flags.FLAGS.unparse_flags()


@contextlib.contextmanager
def patched_environment(env: dict[str, str]) -> Iterator[None]:
    """Set environment variables within the block."""
    before = dict(os.environ)
    os.environ.update(env)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


@contextlib.contextmanager
def optimized_programs(wanted: bool) -> Iterator[None]:
    """Compile programs as users do within the block, or as conftest.py has it."""
    import jax

    before = jax.config.read("jax_disable_most_optimizations")
    jax.config.update("jax_disable_most_optimizations", before and not wanted)
    yield
    jax.config.update("jax_disable_most_optimizations", before)


def snippet(code: str, page: str) -> None:
    """Run a snippet among the names of its page, or write it to the file that its first line names."""
    first, _, _ = code.partition("\n")
    if first.startswith("# ") and first.endswith(".py"):
        path = pathlib.Path(first.removeprefix("# "))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(code)
        return
    names = _namespaces.setdefault(page, {"__name__": page})
    exec(compile(code, page, "exec"), names)  # noqa: S102


def do(job: dict) -> int:
    """Do one job and return its exit code."""
    try:
        match job["kind"]:
            case "run":
                command(job["argv"], job["env"], _RUN)
            case "flags":
                command(job["argv"], job["env"], check_flags)
            case "python":
                with optimized_programs(job["optimized"]):
                    snippet(job["code"], job["page"])
            case "pages":
                sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / "docs"))
                import generate

                print(json.dumps(generate.pages()))
    except SystemExit as stop:
        if isinstance(stop.code, str):
            print(stop.code)
        return stop.code if isinstance(stop.code, int) else int(stop.code is not None)
    except Exception:  # noqa: BLE001 (reported with the job)
        traceback.print_exc()
        return 1
    return 0


if __name__ == "__main__":
    jobs = json.load(sys.stdin)
    with open(sys.argv[1], "w") as results:
        for job in jobs:
            output = io.StringIO()
            with contextlib.redirect_stdout(output), contextlib.redirect_stderr(output):
                code = do(job)
            results.write(json.dumps({"code": code, "output": output.getvalue()}) + "\n")
            results.flush()
