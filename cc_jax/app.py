"""Start-up code shared by the programs: flags, configs by name, exit codes and one-line errors.

A program ends with `app.run(main)`.
"""

import ctypes
import importlib
import importlib.metadata
import importlib.util
import os
import pathlib
import re
import sys
from collections.abc import Callable, Sequence
from typing import TypeVar

from absl import app as absl_app
from absl import flags, logging

from cc_jax.errors import ConfigError, LostPeer, UserError, did_you_mean, missing_extra
from cc_jax.registry import configs_folder

_DEBUG = flags.DEFINE_bool("debug", False, "Show the traceback of an error instead of one line.")

# The flags defined by the functions below belong to the program that calls them, which lists them in its --help.
flags.disclaim_key_flags()


Value = TypeVar("Value")


def run(main: Callable[[list[str]], int | None], *, positional: bool = False) -> None:
    """Parse the flags, call `main(positional_arguments)` and exit.

    The exit code is the return value of `main` (None counts as 0), or that of the UserError it raises.

    Args:
      main: The main function of the program.
      positional: Whether the program takes positional arguments. If it does not, any positional argument is an error
        (exit code 2), because absl would silently ignore a flag whose dashes were forgotten.
    """
    # Warnings of libraries only. Programs print their own messages.
    logging.set_verbosity(logging.WARNING)
    keep_memory()
    make_configs_importable()

    def guarded(argv: list[str]) -> int:
        if len(argv) > 1 and not positional:
            raise ConfigError(f"unexpected argument {argv[1]!r}: write flags as --name=value")
        return main(argv[1:]) or 0

    def reported(argv: list[str]) -> None:
        try:
            code = guarded(argv)
        except UserError as error:
            if _DEBUG.value:
                raise
            code = report(error)
            if isinstance(error, LostPeer):
                # At a normal exit JAX would wait for the lost process once more, and abort.
                sys.stdout.flush()
                os._exit(code)
        except ModuleNotFoundError as error:
            missing = missing_package(error)
            if _DEBUG.value or missing is None:
                raise
            code = report(missing)
        except KeyboardInterrupt:
            print(f"{program()}: interrupted; run the same command to resume", file=sys.stderr)
            code = 130
        except BrokenPipeError:
            # Nobody reads the output any more (`cc-jax tabulate ... | head`). Python would complain again at exit.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            code = 0
        sys.exit(code)

    absl_app.run(reported, flags_parser=_parse)


def program() -> str:
    """Return the program's name as the user typed it: `cc-jax train` or `cc_jax.train`."""
    main = sys.modules["__main__"]
    spec = getattr(main, "__spec__", None)
    return getattr(main, "__program__", None) or (spec.name if spec else os.path.basename(sys.argv[0]))


def report(error: UserError) -> int:
    """Print the error as one line to standard error and return its exit code."""
    print(f"{program()}: {error}", file=sys.stderr)
    return error.exit_code


def missing_package(error: ModuleNotFoundError) -> ConfigError | None:
    """Return the error for a missing package that one of the extras installs, or None for any other module."""
    module = (error.name or "").partition(".")[0]
    try:
        requirements = importlib.metadata.requires("cc-jax") or []
    except importlib.metadata.PackageNotFoundError:
        return None
    for requirement in requirements:
        found = re.match(r"([\w-]+).*extra *== *['\"](\w+)['\"]", requirement)
        if found and found[1].replace("-", "_") == module and found[2] != "all":
            return missing_extra(found[1], found[2])
    return None


def keep_memory() -> None:
    """Make glibc keep the memory that XLA frees at the end of a step, so that the next step reuses it.

    By default glibc maps each large buffer anew, and the kernel zeroes its pages when they are first touched. Without
    that, a training step takes less CPU time. Does nothing with another C library. The options are those of malloc.h.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return
    trim_threshold, top_pad, mmap_max, arena_max = -1, -2, -4, -8
    mallopt(mmap_max, 0)
    mallopt(trim_threshold, 2**31 - 1)
    mallopt(top_pad, 2**28)
    # The heap of a thread cannot hold a buffer above 64 MiB and would map it.
    mallopt(arena_max, 1)


def compile_cache() -> None:
    """Keep compiled programs on disk, so that a second or a resumed run does not compile again.

    The default folder belongs to the user alone and has the jaxlib version in its name. Cached programs are executed,
    so the folder must not be writable for others. $JAX_COMPILATION_CACHE_DIR selects another folder.
    """
    import jax

    if os.environ.get("JAX_COMPILATION_CACHE_DIR"):
        return
    home = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser()
    folder = home / "cc_jax" / f"xla-{importlib.metadata.version('jaxlib')}"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        print(f"{program()}: no compile cache ({error}): every start compiles again", file=sys.stderr)
        return
    jax.config.update("jax_compilation_cache_dir", str(folder))


def mute_stdout() -> None:
    """Discard standard output. One process of a distributed run prints; all of them report errors."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


def required(flag: "flags.FlagHolder[Value | None]") -> Value:
    """Return the value of a flag. Raises ConfigError if it is not set; absl's own check would print the whole help text."""
    if flag.value is None:
        raise ConfigError(f"--{flag.name} is missing; --help shows the usage")
    return flag.value


def define_calibrate_on() -> flags.FlagHolder:
    """Define --calibrate_on, the images on which counting programs calibrate counts and intervals."""
    return flags.DEFINE_string(
        "calibrate_on",
        None,
        "Counted images, kept aside for this purpose, on which to calibrate counts and intervals: a CSV, TSV or TXT file "
        "with the columns image and count, or DATASET:SPLIT of a prepared dataset. At least 10 images, better 30. Saved in "
        "the workdir.",
    )


def define_set_level() -> flags.FlagHolder:
    """Define --set_level, for programs that define --calibrate_on."""
    return flags.DEFINE_bool(
        "set_level",
        True,
        "Whether a calibration also multiplies the counts by one factor, so that they have the level of the counted images.",
    )


def define_config(help_text: str) -> flags.FlagHolder:
    """Define --config: a config file or the name of a shipped config, with overrides --config.field=value."""
    from ml_collections.config_flags import config_flags

    class Parser(config_flags.ConfigFileFlagParser):
        def parse(self, path):
            return super().parse(find_config(path))

    holder = config_flags.DEFINE_config_file("config", None, help_text, lock_config=True)
    flags.FLAGS["config"].parser = Parser("config", lock_config=True)
    return holder


def config_of(flag: flags.FlagHolder):
    """Return the config of a --config flag. Raises ConfigError if the flag is not set or the file cannot be read."""
    try:
        required(flag)
        # ml_collections reports an unreadable file only when its config is accessed.
        _ = flag.value.is_locked
        return flag.value
    except OSError as error:
        raise ConfigError(f"--config: {_words(error)}") from error


def find_config(value: str) -> str:
    """Resolve the value of --config to PATH[:ARG].

    Args:
      value: `PATH[:ARG]` of a config file, or `NAME[:ARG]` of a shipped config. An existing file wins over a name.

    Raises ConfigError, with the names of all shipped configs, if there is neither.
    """
    name, colon, argument = value.partition(":")
    if pathlib.Path(name).is_file():
        return value
    known = sorted(path.stem for path in configs_folder().glob("*.py") if path.stem != "__init__")
    if name in known:
        return f"{configs_folder() / name}.py{colon}{argument}"
    hint = did_you_mean(pathlib.Path(name).stem, known)
    raise ConfigError(
        f"--config={value}: there is no such file, nor a config of this name{hint}; names: {', '.join(known)}"
    )


def make_configs_importable() -> None:
    """Make `from configs import default` work in every config file, wherever it lies.

    Python finds the package `configs` by itself in a checkout that is the current folder. Otherwise this registers the
    shipped configs under that name. A package or a folder `configs` of the user's own is kept and extended by them.
    """
    spec = importlib.util.find_spec("configs")
    folders = spec.submodule_search_locations if spec else None
    if folders is None:
        spec = importlib.util.spec_from_file_location("configs", configs_folder() / "__init__.py")
        assert spec is not None and spec.loader is not None
        sys.modules["configs"] = module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    elif not any(pathlib.Path(folder, "default.py").is_file() for folder in folders):
        importlib.import_module("configs").__path__.append(str(configs_folder()))


def _parse(argv: list[str]) -> list[str]:
    """Parse the flags. A wrong flag, config file or config field ends the program with one line and exit code 2."""
    if any(arg in ("--help", "-help", "--helpfull", "-h") for arg in argv):
        _print_help()
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
        message = _words(error, argv)
    sys.exit(report(ConfigError(message)))


def _print_help() -> None:
    """Print the docstring of the program and its own flags."""
    main = sys.modules["__main__"]
    usage = (main.__doc__ or "").strip()
    if main.__spec__ is not None:
        module = main.__spec__.name.removesuffix(".__main__")
        usage = usage.replace(f"python -m {module}", getattr(main, "__program__", f"python -m {module}"))
    print(f"{usage}\n\nflags:")
    own = flags.FLAGS.get_key_flags_for_module(main)
    for flag in sorted({*own, flags.FLAGS["debug"]}, key=lambda flag: flag.name):
        default = f" (default: {flag.default})" if flag.default not in (None, "") else ""
        print(f"  --{flag.name}: {flag.help}{default}")


def _words(error: Exception, argv: Sequence[str] = ()) -> str:
    """Return an error of absl, ml_collections or a config file as one line without traceback and quoted newlines.

    Args:
      error: The error.
      argv: The command line, to name the field whose flag has caused the error.
    """
    text = str(error.args[0]) if isinstance(error, (KeyError, AttributeError)) and error.args else str(error)
    text = text.replace("\\n", "\n").replace("\\'", "'").strip('"')
    if isinstance(error, (KeyError, AttributeError)):
        # ml_collections says the field's name, quoted, and perhaps a similar one.
        found = re.fullmatch(r"[\"']*(\w*)[\"']*\s*(.*?)[\"']*", text.strip(), re.DOTALL)
        fields = (re.match(r"--?config\.([\w.]+)", argument) for argument in argv)
        path = next(
            (field[1] for field in fields if field and found and found[1] in field[1].split(".")), None
        )
        if found and path:
            text = f"there is no field config.{path}" + (f": {found[2]}" if found[2] else "")
        else:
            text = f"the config file raised {type(error).__name__}: {text}"
    lines = [line.strip() for line in text.strip().splitlines() if line.strip(" ^")]
    if "Traceback" in text:
        # The last line of a traceback says what the config file raised.
        lines = lines[-1:]
    return " ".join(" ".join(lines).split())
