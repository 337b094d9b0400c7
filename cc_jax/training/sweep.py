"""The runs of a config: the config itself, or one run for each variant, method, seed and fold of its sweep."""

import itertools
import pathlib
from typing import Any

import jax
import ml_collections

from cc_jax.data.images import safe_name
from cc_jax.errors import Busy, ConfigError, did_you_mean
from cc_jax.report import page, renderers, tables
from cc_jax.report import runs as report_runs
from cc_jax.training import loop
from cc_jax.training.run import name_of
from cc_jax.workdir.config import flat
from cc_jax.workdir.layout import Layout
from cc_jax.workdir.results import finished_rows, read_results


def runs(config: ml_collections.ConfigDict) -> dict[str, ml_collections.ConfigDict]:
    """Return {folder below the workdir: config} of every run; without a sweep, one run in the workdir itself.

    Raises:
      ConfigError: a variant names a field that the config does not have, or two variants have the same name.
    """
    variants, methods, seeds, folds = (
        tuple(config.sweep[name]) for name in ("variants", "methods", "seeds", "folds")
    )
    if not (variants or methods or seeds or folds):
        return {".": config}
    if len({name for name, _ in variants}) < len(variants):
        raise ConfigError("config.sweep.variants: two variants have the same name")
    found = {}
    # All runs of a seed come before those of the next: an interrupted sweep still has a whole table, of fewer seeds.
    every: Any = itertools.product(
        seeds or (config.seed,), variants or (None,), methods or (None,), folds or ("",)
    )
    for seed, variant, method, fold in every:
        one = ml_collections.ConfigDict(config.to_dict()).lock()
        for name in list(one.sweep):
            one.sweep[name] = ()
        one.seed = seed
        if variant:
            _vary(one, *variant)
        if method:
            one.method.name = method
        if fold:
            one.target.test_split = fold
            one.target.split = "+".join(other for other in folds if other != fold)
        named = [safe_name(one.variant)] if variant else []
        named += [one.method.name] if method or not variant else []
        seeded = [f"seed{seed}"] if len(seeds) > 1 else []
        found["-".join([*named, *seeded, *([fold] if fold else [])])] = one
    return found


def _vary(config: ml_collections.ConfigDict, name: str, fields: dict) -> None:
    """Make `config` the variant `name`, which sets `fields`."""
    config.variant = name
    known = flat(config.to_dict())
    for field in fields:
        if field not in known:
            raise ConfigError(
                f"config.sweep.variants: {name!r} sets {field!r}, and there is no such field{did_you_mean(field, known)}"
            )
    try:
        config.update_from_flattened_dict(dict(fields))
    except (TypeError, ValueError) as error:
        raise ConfigError(f"config.sweep.variants: {name!r}: {' '.join(str(error).split())}") from error


def run(config: ml_collections.ConfigDict, workdir: pathlib.Path) -> None:
    """Train every run that is not finished, print the results table, and write the report.

    Runs that another process trains are left to it. Several processes with the same command share the runs.
    """
    todo = runs(config)
    waiting = list(todo)
    # Runs that another process held are tried again, because that process may have been stopped since.
    while waiting:
        busy = [
            folder for folder in waiting if not _train(todo[folder], workdir / folder, alone=len(todo) == 1)
        ]
        if len(busy) == len(waiting):
            break
        waiting = busy
    done = [folder for folder in todo if finished_rows(workdir / folder)]
    report = Layout(workdir).report
    if len(todo) > 1 and jax.process_index() == 0:
        page.write_report(report, [report_runs.read_run(workdir / folder) for folder in done], workdir.name)
    rows = [row for folder in done for row in tables.final_rows(read_results(workdir / folder))]
    if rows:
        print(renderers.render(tables.table(rows), "text", tables.notes(rows)))
        print(f"report: {report}")
    unfinished = [folder for folder in todo if folder not in done]
    if unfinished:
        print(f"other processes are training {', '.join(unfinished)}: their results are not in the table yet")


def _train(config: ml_collections.ConfigDict, workdir: pathlib.Path, *, alone: bool) -> bool:
    """Train one run and write its report.

    Returns False if another process trains it, and raises Busy instead if it is the only run (`alone`).
    """
    try:
        loop.train_and_adapt(config, workdir)
    except Busy:
        if alone:
            raise
        return False
    if jax.process_index() == 0:
        page.write_report(Layout(workdir).report, [report_runs.read_run(workdir)], name_of(config))
    return True
