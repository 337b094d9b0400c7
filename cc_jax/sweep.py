"""Runs of one config: itself, or each of its sweep's methods and seeds in a workdir of its own."""

import itertools
import pathlib

import ml_collections

from cc_jax import loop, tables
from cc_jax.report import page
from cc_jax.report import runs as report_runs


def runs(config) -> dict[str, ml_collections.ConfigDict]:
    """{folder below the workdir: config}; one run in the workdir itself when nothing is swept."""
    methods, seeds = tuple(config.sweep.methods), tuple(config.sweep.seeds)
    if not methods and not seeds:
        return {".": config}
    found = {}
    for method, seed in itertools.product(methods or (config.method.name,), seeds or (config.seed,)):
        one = ml_collections.ConfigDict(config.to_dict())
        one.method.name, one.seed, one.sweep.methods, one.sweep.seeds = method, seed, (), ()
        found[f"{method}-seed{seed}" if len(seeds) > 1 else method] = one
    return found


def run(config, workdir: pathlib.Path) -> None:
    """Trains every run that is not finished, prints their table, writes their common report."""
    todo = runs(config)
    rows = []
    for folder, one in todo.items():
        rows.append(loop.train_and_adapt(one, workdir / folder)[-1])
        page.write_report(
            workdir / folder / "report.html", [report_runs.read_run(workdir / folder)], f"{one.method.name}"
        )
    if len(todo) > 1:
        page.write_report(
            workdir / "report.html", [report_runs.read_run(workdir / folder) for folder in todo], workdir.name
        )
    print(tables.render(tables.table(rows), "text", tables.notes(rows)))
    print(f"report: {workdir / 'report.html'}")
