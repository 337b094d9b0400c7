"""The config of a run: checked before it starts, kept in its workdir as config.json, read back by later versions."""

import importlib.util
import json
import pathlib
from collections.abc import Iterator, Mapping
from typing import Any

import ml_collections

import cc_jax
from cc_jax import registry
from cc_jax.data.files import write_atomic
from cc_jax.errors import CheckpointError, ConfigError
from cc_jax.units import CELL
from cc_jax.workdir import migrations
from cc_jax.workdir.layout import Layout

# Fields that may change when a run is resumed, because no parameter of the network depends on them.
FREE = {
    "data_dir",
    "threads",
    "workers",
    "cache_gib",
    "cache_dir",
    "log_every",
    "profile_steps",
    "checkpoint.every",
    "checkpoint.keep",
    "checkpoint.any_data",
    "evaluation.memory_gib",
}
# Sections with a section for each plug-in, of which a run uses few.
_PLUG_IN_SECTIONS = ("method", "model", "uncertainty")
# Side of the smallest training crop, in pixels.
_SMALLEST_CROP = 64


def read_config(workdir: pathlib.Path) -> ml_collections.ConfigDict:
    """Return the config that `workdir` was trained with.

    A workdir of an older version is read as if this version had written it: renamed fields have their names of today,
    and fields that did not exist yet have their defaults.

    Raises:
      CheckpointError: there is no config.json, it is damaged, or this version does not read workdirs of the version
        that wrote it.
    """
    path = Layout(workdir).config
    fields, version = _read(path)
    migrations.check_readable(version, str(workdir))
    migrated = _unflatten(migrations.migrate(flat(fields), version))
    return ml_collections.ConfigDict(_with_defaults(migrated))


def write_config(workdir: pathlib.Path, config: ml_collections.ConfigDict) -> None:
    """Write config.json, with the version of this package, unless this version has already written it.

    The file of an older version is replaced: from here on the workdir is of this version.
    """
    path = Layout(workdir).config
    if path.exists() and _read(path)[1] == cc_jax.__version__:
        return
    write_atomic(path, json.dumps({"version": cc_jax.__version__, **config.to_dict()}, indent=2))


def check_same_run(workdir: pathlib.Path, config: ml_collections.ConfigDict) -> None:
    """Raise ConfigError if `workdir` holds a run that `config` would not continue."""
    if not Layout(workdir).config.exists():
        return
    found = differences(read_config(workdir), config)
    if found:
        raise ConfigError(
            f"{workdir} holds a run with another config ({'; '.join(found[:3])}): name a new --workdir"
        )


def differences(
    saved: ml_collections.ConfigDict | Mapping[str, Any], config: ml_collections.ConfigDict
) -> list[str]:
    """Describe the fields in which two configs stand for different runs, one phrase for each field.

    Fields that no parameter depends on (`FREE`) and the sections of plug-ins that the run does not use do not count.
    """
    before, now = (_fields_of_run(_with_defaults(_as_json(one))) for one in (saved, config))
    return [
        f"{name} is {before.get(name)!r}, now {now.get(name)!r}"
        for name in sorted({*before, *now})
        if str(before.get(name)) != str(now.get(name))
    ]


def flat(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return {dotted name: value} of a config's fields. An empty section is a value of its own."""
    found: dict[str, Any] = {}
    for name, value in fields.items():
        if isinstance(value, Mapping) and value:
            found.update({f"{name}.{inner}": x for inner, x in flat(value).items()})
        else:
            found[name] = value
    return found


def check_fields(config: ml_collections.ConfigDict) -> None:
    """Raise ConfigError for values that would otherwise fail hours into a run, or with an obscure message."""
    for name, value, is_valid, rule in _checks(config):
        if not is_valid:
            raise ConfigError(f"config.{name}={value}: it must be {rule}")


def _checks(config) -> Iterator[tuple[str, Any, bool, str]]:
    """(field, value, whether it is valid, what a valid value is) of each checked field."""
    fields = flat(config.to_dict())
    for name in ("steps", "accumulate", "source.batch_size", "target.batch_size"):
        yield name, fields[name], fields[name] >= 1, "at least 1"
    for name in ("threads", "workers", "cache_gib", "evaluation.empty_below"):
        yield name, fields[name], fields[name] >= 0, "at least 0"
    for name in [
        f"{own}.end.{field}"
        for own in ("source", "target")
        for field in ("share", "unscaled_share", "photometric", "tone")
    ]:
        yield name, fields[name], 0 <= fields[name] <= 1, "between 0 and 1"
    for name in ("evaluation.memory_gib", "label_scale"):
        yield name, fields[name], fields[name] > 0, "greater than 0"
    crop = fields["augment.crop"]
    valid = crop % CELL == 0 and crop >= _SMALLEST_CROP
    yield "augment.crop", crop, valid, f"a multiple of {CELL}, and at least {_SMALLEST_CROP}"


def _read(path: pathlib.Path) -> tuple[dict[str, Any], str]:
    """(fields, version) as they stand in config.json."""
    if not path.is_file():
        raise CheckpointError(f"{path.parent} is not a workdir of cc_jax.train: it has no {path.name}")
    try:
        fields = json.loads(path.read_text())
        version = fields.pop("version", migrations.FIRST_VERSION)
        migrations.minor_version(version)
    except (ValueError, AttributeError, TypeError) as error:
        raise CheckpointError(f"{path} is damaged ({error}): restore it from a copy") from error
    return fields, version


def _with_defaults(fields: Mapping[str, Any]) -> dict[str, Any]:
    """The fields, and the defaults of those that are missing."""
    return _merged(_as_json(_default_config()), fields)


def _default_config() -> ml_collections.ConfigDict:
    """The config of configs/default.py.

    It is loaded from its file: the package `configs` can be imported in a checkout, but not by every program that uses an
    installed cc_jax.
    """
    spec = importlib.util.spec_from_file_location(
        "cc_jax_default_config", registry.configs_folder() / "default.py"
    )
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.get_config()


def _merged(defaults: Mapping[str, Any], fields: Mapping[str, Any]) -> dict[str, Any]:
    found = {**defaults, **fields}
    for name, value in defaults.items():
        if isinstance(value, Mapping) and isinstance(fields.get(name), Mapping):
            found[name] = _merged(value, fields[name])
    return found


def _as_json(config: Any) -> dict[str, Any]:
    """The fields with the types that JSON gives them, so that they compare equal to those of a file."""
    fields = config.to_dict() if isinstance(config, ml_collections.ConfigDict) else config
    return json.loads(json.dumps(fields))


def _fields_of_run(fields: Mapping[str, Any]) -> dict[str, Any]:
    """{dotted name: value} of the fields that the parameters of a run depend on."""
    used = {name: value for name, value in fields.items() if name != "sweep"}
    for section in _PLUG_IN_SECTIONS:
        named = _plug_ins(fields[section])
        used[section] = {
            name: value
            for name, value in fields[section].items()
            if not isinstance(value, Mapping) or name in named
        }
    return {name: value for name, value in flat(used).items() if name not in FREE}


def _plug_ins(section: Mapping[str, Any]) -> set[str]:
    """The plug-ins of a section that a run uses: the named one, and those that its own fields name in turn."""
    found: set[str] = set()
    waiting = [{name: value for name, value in section.items() if not isinstance(value, Mapping)}]
    while waiting:
        values = waiting.pop().values()
        words = [word for value in values for word in (value if isinstance(value, list) else [value])]
        named = {word for word in words if isinstance(word, str)}
        new = {word for word in named if isinstance(section.get(word), Mapping)} - found
        found |= new
        waiting += [section[name] for name in new]
    return found


def _unflatten(fields: Mapping[str, Any]) -> dict[str, Any]:
    """The inverse of `flat`."""
    found: dict[str, Any] = {}
    for name, value in fields.items():
        *sections, last = name.split(".")
        inner = found
        for section in sections:
            inner = inner.setdefault(section, {})
        inner[last] = value
    return found
