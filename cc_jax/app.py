"""Start-up shared by the binaries: flags, exit codes, one-line errors. Their last line is `app.run(main)`."""

import ctypes
import os
import pathlib
import re
import sys
from collections.abc import Callable

from absl import app as absl_app
from absl import flags, logging

from cc_jax.errors import ConfigError, LostPeer, UserError

_DEBUG = flags.DEFINE_bool("debug", False, "Show the traceback of an error instead of its one line.")


def run(main: Callable[[list[str]], int | None], *, positional: bool = False) -> None:
    """Runs `main(positional_arguments)` and exits with its return value (None is 0) or the error's exit code.

    Args:
      main: the binary's main function; flags are parsed when it is called.
      positional: whether the binary takes positional arguments; otherwise one is an error (exit code 2),
        since absl would ignore a misspelled flag without its dashes.
    """
    logging.set_verbosity(logging.WARNING)  # libraries; our own words go through print
    keep_memory()

    def guarded(argv: list[str]) -> int:
        if len(argv) > 1 and not positional:
            raise ConfigError(f"unexpected argument {argv[1]!r}: flags are written --name=value")
        return main(argv[1:]) or 0

    def reported(argv: list[str]) -> None:
        try:
            code = guarded(argv)
        except UserError as error:
            if _DEBUG.value:
                raise
            print(f"{_program()}: {error}", file=sys.stderr)
            code = error.exit_code
            if isinstance(error, LostPeer):  # JAX would wait for it once more at the exit, and abort
                sys.stdout.flush()
                os._exit(code)
        except KeyboardInterrupt:
            print(
                f"{_program()}: interrupted; the same command goes on from the last checkpoint",
                file=sys.stderr,
            )
            code = 130
        except BrokenPipeError:
            os.dup2(
                os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno()
            )  # the reader has gone: nothing to say
            code = 0
        sys.exit(code)

    absl_app.run(reported, flags_parser=_parse)


def keep_memory() -> None:
    """Lets glibc's allocator keep what XLA frees at the end of a step, for the next one.

    By default each large buffer is mapped anew and its pages are zeroed when they are first touched. Kept, a train step
    takes less CPU time: `tiny` 141 instead of 178 ms, `lite` 1.28 instead of 1.67 s (one core of an AMD EPYC). Does
    nothing where the C library is another one. Numbers of the options: malloc.h.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return
    trim_threshold, top_pad, mmap_max, arena_max = -1, -2, -4, -8
    mallopt(mmap_max, 0)
    mallopt(trim_threshold, 2**31 - 1)
    mallopt(top_pad, 2**28)
    mallopt(arena_max, 1)  # a thread's own heap holds no buffer above 64 MiB, and would map it


def compile_cache() -> None:
    """Keeps compiled programs between processes, so that a resumed or a second run starts at once.

    In a folder of the user's own with the jaxlib version in its name: a cache is code that will be run, so it must
    never lie where others can write. $JAX_COMPILATION_CACHE_DIR names another.
    """
    import jax
    import jaxlib

    if os.environ.get("JAX_COMPILATION_CACHE_DIR"):
        return
    home = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser()
    folder = home / "cc_jax" / f"xla-{jaxlib.__version__}"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        print(f"{_program()}: no compile cache ({error}): every start compiles anew", file=sys.stderr)
        return
    jax.config.update("jax_compilation_cache_dir", str(folder))


def mute_stdout() -> None:
    """Sends standard output nowhere: of several processes one prints, all of them report errors."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


def require(**values: object) -> None:
    """Raises ConfigError for a flag that was not given. absl's own check prints the whole help."""
    for name, value in values.items():
        if value is None:
            raise ConfigError(f"--{name} is missing; --help shows the usage")


def define_calibrate_on() -> flags.FlagHolder:
    """The flag of the binaries that count: what to calibrate the intervals on."""
    return flags.DEFINE_string(
        "calibrate_on",
        None,
        "Counted images, kept aside for this, that the intervals are calibrated on: a CSV file with the columns image and "
        "count, or DATASET:SPLIT of a prepared set. Ten at least, better thirty. Kept in the workdir.",
    )


def _program() -> str:
    """The binary's name as a person calls it: `cc_jax.train`."""
    spec = getattr(sys.modules["__main__"], "__spec__", None)
    return spec.name if spec else os.path.basename(sys.argv[0])


def _parse(argv: list[str]) -> list[str]:
    """Parses the flags; a wrong flag, config file or config field ends in one line and exit code 2."""
    if any(arg in ("--help", "-help", "--helpfull", "-h") for arg in argv):
        module = sys.modules["__main__"]
        print(f"{(module.__doc__ or '').strip()}\n\nflags:")
        for flag in sorted(
            flags.FLAGS.get_key_flags_for_module(module) + [flags.FLAGS["debug"]], key=lambda f: f.name
        ):
            print(
                f"  --{flag.name}: {flag.help}"
                + (f" (default: {flag.default})" if flag.default not in (None, "") else "")
            )
        sys.exit(0)
    try:
        return flags.FLAGS(argv)
    except UserError as error:
        message = str(error)
    except (
        flags.Error,
        AttributeError,
        KeyError,
        ValueError,
        TypeError,
        OSError,
        SyntaxError,
        ImportError,
    ) as error:
        if any(arg in ("--debug", "--debug=true") for arg in argv):
            raise
        message = _words(error)
    print(f"{_program()}: {message}", file=sys.stderr)
    sys.exit(2)


def config_of(flag: flags.FlagHolder):
    """The config of a config file's flag. Raises ConfigError when it was not given or could not be loaded."""
    try:
        require(config=flag.value)
        _ = flag.value.is_locked
        return flag.value
    except OSError as error:  # ml_collections reports a missing file only when its config is asked for
        raise ConfigError(f"--config: {_words(error)}") from error


def _words(error: Exception) -> str:
    """An error of absl, ml_collections or a config file as one line without a traceback or quoted newlines."""
    text = str(error.args[0]) if isinstance(error, (KeyError, AttributeError)) and error.args else str(error)
    text = text.replace("\\n", "\n").replace("\\'", "'").strip('"')
    if isinstance(error, (KeyError, AttributeError)):
        text = "no config field " + re.sub(r"^[\"']*(\w+)'?", r"'\1':", text.strip()).rstrip("'")
    lines = [line.strip() for line in text.strip().splitlines() if line.strip(" ^")]
    if any(line.startswith("Traceback") for line in lines) or "Traceback" in text:
        lines = lines[-1:]  # what the config file raised
    return " ".join(" ".join(lines).split())
