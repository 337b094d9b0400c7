"""Runs of one config: itself, or each of its sweep's methods, seeds and folds in a workdir of its own."""

import itertools
import pathlib

import ml_collections

from cc_jax import loop, tables
from cc_jax.report import page
from cc_jax.report import runs as report_runs


def runs(config) -> dict[str, ml_collections.ConfigDict]:
    """{folder below the workdir: config}; one run in the workdir itself when nothing is swept."""
    methods, seeds, folds = (tuple(config.sweep[name]) for name in ("methods", "seeds", "folds"))
    if not methods and not seeds and not folds:
        return {".": config}
    found = {}
    every = itertools.product(methods or (config.method.name,), seeds or (config.seed,), folds or ("",))
    for method, seed, fold in every:
        one = ml_collections.ConfigDict(config.to_dict())
        one.method.name, one.seed = method, seed
        one.sweep.methods, one.sweep.seeds, one.sweep.folds = (), (), ()
        if fold:
            one.target.test_split = fold
            one.target.split = "+".join(other for other in folds if other != fold)
        seeded = [f"seed{seed}"] if len(seeds) > 1 else []
        found["-".join([method, *seeded, *([fold] if fold else [])])] = one
    return found


def run(config, workdir: pathlib.Path) -> None:
    """Trains every run that is not finished, prints their table, writes their common report."""
    todo = runs(config)
    rows = []
    for folder, one in todo.items():
        rows += tables.final_rows(loop.train_and_adapt(one, workdir / folder))
        page.write_report(
            workdir / folder / "report.html", [report_runs.read_run(workdir / folder)], f"{one.method.name}"
        )
    if len(todo) > 1:
        page.write_report(
            workdir / "report.html", [report_runs.read_run(workdir / folder) for folder in todo], workdir.name
        )
    print(tables.render(tables.table(rows), "text", tables.notes(rows)))
    print(f"report: {workdir / 'report.html'}")
