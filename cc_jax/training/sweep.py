"""Runs of one config: itself, or each of its sweep's variants, methods, seeds and folds in a workdir of its own."""

import difflib
import itertools
import pathlib

import jax
import ml_collections

from cc_jax import build
from cc_jax.data.images import safe_name
from cc_jax.errors import Busy, ConfigError
from cc_jax.report import page, renderers, tables
from cc_jax.report import runs as report_runs
from cc_jax.training import loop
from cc_jax.workdir.results import finished_rows, read_results


def runs(config) -> dict[str, ml_collections.ConfigDict]:
    """{folder below the workdir: config}; one run in the workdir itself when nothing is swept.

    Raises ConfigError where a variant names a field that the config does not have, or two have one name.
    """
    variants, methods, seeds, folds = (
        tuple(config.sweep[name]) for name in ("variants", "methods", "seeds", "folds")
    )
    if not (variants or methods or seeds or folds):
        return {".": config}
    if len({name for name, _ in variants}) < len(variants):
        raise ConfigError("config.sweep.variants: two have the same name")
    found = {}
    # Seeds come last in turn: a sweep that is cut short has whole tables of fewer seeds.
    every = itertools.product(
        seeds or (config.seed,), variants or (None,), methods or (None,), folds or ("",)
    )
    for seed, variant, method, fold in every:
        one = ml_collections.ConfigDict(config.to_dict()).lock()
        for name in one.sweep:
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


def _vary(config, name: str, fields: dict) -> None:
    """Makes `config` the variant `name`."""
    config.variant = name
    known = build.flat(config.to_dict())
    for field in fields:
        if field not in known:
            near = difflib.get_close_matches(field, known, n=1)
            hint = f" (did you mean {near[0]!r}?)" if near else ""
            raise ConfigError(
                f"config.sweep.variants: {name!r} sets {field!r}, and there is no such field{hint}"
            )
    try:
        config.update_from_flattened_dict(dict(fields))
    except (TypeError, ValueError) as error:
        raise ConfigError(f"config.sweep.variants: {name!r}: {' '.join(str(error).split())}") from error


def run(config, workdir: pathlib.Path) -> None:
    """Trains every run that is neither finished nor in another process's hands, prints the table, writes the report."""
    todo = runs(config)
    waiting = list(todo)
    while waiting:  # again for those that another process held, which may have been stopped since
        busy = [
            folder for folder in waiting if not _train(todo[folder], workdir / folder, alone=len(todo) == 1)
        ]
        if len(busy) == len(waiting):
            break
        waiting = busy
    done = [folder for folder in todo if finished_rows(workdir / folder)]
    if len(todo) > 1 and jax.process_index() == 0:
        page.write_report(
            workdir / "report.html", [report_runs.read_run(workdir / folder) for folder in done], workdir.name
        )
    rows = [row for folder in done for row in tables.final_rows(read_results(workdir / folder))]
    if rows:
        print(renderers.render(tables.table(rows), "text", tables.notes(rows)))
        print(f"report: {workdir / 'report.html'}")
    unfinished = [folder for folder in todo if folder not in done]
    if unfinished:
        print(f"other processes are training {', '.join(unfinished)}: their results are not in the table yet")


def _train(config, workdir: pathlib.Path, *, alone: bool) -> bool:
    """Trains one run and writes its report; False where another process is at it, which is an error if it is `alone`."""
    try:
        loop.train_and_adapt(config, workdir)
    except Busy:
        if alone:
            raise
        return False
    if jax.process_index() == 0:
        page.write_report(workdir / "report.html", [report_runs.read_run(workdir)], loop.method_name(config))
    return True
