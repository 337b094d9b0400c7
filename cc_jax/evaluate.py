"""Evaluates a workdir's newest checkpoint on a labelled set: prints, writes results.json, predictions.csv, a report.

usage: python -m cc_jax.evaluate --workdir=DIR [--dataset=NAME --split=SPLIT] [--calibrate_on=SET] [--output=DIR]
"""

import functools
import math
import pathlib

from absl import flags

from cc_jax import app

_WORKDIR = flags.DEFINE_string("workdir", None, "A workdir of cc_jax.train.")
_DATASET = flags.DEFINE_string("dataset", None, "Dataset to evaluate on (default: the config's target).")
_SPLIT = flags.DEFINE_string("split", None, "Its split (default: the config's test split, or 'test').")
_DATA_DIR = flags.DEFINE_string("data_dir", None, "Where prepared datasets lie (default: the config's).")
_CALIBRATE_ON = app.define_calibrate_on()
_OUTPUT = flags.DEFINE_string(
    "output",
    None,
    "Folder for the files (default: the workdir; for another set or an unfinished run, a folder below it).",
)


def main(args: list[str]) -> None:
    """Restores, evaluates, writes."""
    del args
    app.require(workdir=_WORKDIR.value)
    from cc_jax.counting.counter import Counter
    from cc_jax.data import sources
    from cc_jax.data.density import Density
    from cc_jax.data.examples import Examples
    from cc_jax.data.files import write_atomic
    from cc_jax.data.progress import progress_bar
    from cc_jax.evaluation import uncertainty_metrics
    from cc_jax.evaluation.evaluate import (
        batching_of,
        describe_result,
        evaluate_examples,
        finished_rows,
        result_rows,
        write_panels,
        write_predictions,
        write_reliability,
        write_results,
    )
    from cc_jax.report import page

    app.compile_cache()
    workdir = pathlib.Path(_WORKDIR.value)
    counter = Counter.load(workdir)
    config = counter.config
    dataset = _DATASET.value or config.target.dataset
    split = _SPLIT.value or ("test" if _DATASET.value else config.target.test_split)
    # A run that has not finished has no results yet: its results.json would say that it has.
    earlier = finished_rows(workdir)
    own = (
        earlier
        and not _CALIBRATE_ON.value
        and (dataset, split) == (config.target.dataset, config.target.test_split)
    )
    records = sources.open_source(dataset, split, _DATA_DIR.value or config.data_dir)
    bar = functools.partial(progress_bar, description="evaluating")
    calibrated = None
    if _CALIBRATE_ON.value:
        calibrated = counter.calibrate(_CALIBRATE_ON.value, _DATA_DIR.value or "", bar)
        calibrated.save(workdir)
    examples = Examples(records, counter.resize_rule)
    rows, found = evaluate_examples(
        counter.sampler, counter.variables, examples,
        batching_of(config), counter.interval_level, bar, calibrated,
    )  # fmt: skip
    suffix = "_calibrated" if calibrated else ""
    below = workdir / "evaluations" / f"{dataset}_{split}_{counter.step}{suffix}".replace("/", "-")
    if records.submission and all(math.isnan(row["true"]) for row in rows):
        output = pathlib.Path(_OUTPUT.value) if _OUTPUT.value else below
        write_predictions(output / "predictions.csv", rows)
        write_atomic(output / "submission.txt", records.submission(rows))
        print(f"{dataset} {split} has no labels: wrote {output / 'submission.txt'} for its authors' server")
        return
    params = counter.variables["params"]
    summaries = result_rows(config, rows, params, stage=counter.stage, step=counter.step, records=records)
    measured = uncertainty_metrics.of_predictions(found, calibrated and calibrated.bounds(found))
    print("\n".join([*map(describe_result, summaries), uncertainty_metrics.describe(measured)]))
    if calibrated:
        stands_on = f"{calibrated.describe(counter.interval_level)}; {calibrated.unlike_share(found)}"
        measured["images"]["calibration"] = stands_on
        print(stands_on)
    output = pathlib.Path(_OUTPUT.value) if _OUTPUT.value else workdir if own else below
    others = [row for row in earlier if row["stage"] != counter.stage] if output == workdir else []
    write_predictions(output / "predictions.csv", rows)
    write_reliability(output, measured)
    write_panels(output / "panels", examples, found, Density(**config.density))
    write_results(output, [*others, *summaries])
    page.write_report(
        output / "report.html", [page.read_run(output, trained_in=workdir)], f"{dataset} {split}"
    )
    print(
        f"wrote {', '.join(str(output / name) for name in ('results.json', 'predictions.csv', 'report.html'))}"
    )


if __name__ == "__main__":
    app.run(main)
