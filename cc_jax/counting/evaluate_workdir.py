"""Evaluate the newest checkpoint of a workdir on a set: the work of `cc_jax.evaluate`."""

import dataclasses
import functools
import pathlib

from cc_jax.counting.counter import Counter
from cc_jax.data import sources
from cc_jax.data.density import Density
from cc_jax.data.examples import Examples
from cc_jax.data.files import write_atomic
from cc_jax.data.progress import progress_bar
from cc_jax.errors import ConfigError
from cc_jax.evaluation import uncertainty_metrics
from cc_jax.evaluation.evaluate import (
    Evaluation,
    TrainedCounter,
    count_examples,
    describe,
    errors_with_counts,
    result_rows,
)
from cc_jax.evaluation.files import write_evaluation
from cc_jax.inference.predict import Prediction
from cc_jax.report import page
from cc_jax.workdir import results
from cc_jax.workdir.layout import Layout


def evaluate_workdir(
    workdir: pathlib.Path,
    *,
    dataset: str | None = None,
    split: str | None = None,
    data_dir: str = "",
    calibrate_on: str | None = None,
    set_level: bool = True,
    output: pathlib.Path | None = None,
) -> pathlib.Path:
    """Evaluate, print the results, and write them with a report. Return the folder that they are in.

    A finished run's results on its own target replace those in the workdir. Other results go to a folder below it: those
    on another set, those with intervals of other kinds than "members", and those of an unfinished run, which a
    results.json in the workdir would declare finished.

    Args:
      workdir: of `cc_jax.train`.
      dataset, split: the set; by default, the config's target and its test split ("test" if only `dataset` is given).
      data_dir: where prepared sets are; by default, the config's.
      calibrate_on: counted images to calibrate on; see `Counter.calibrate`. Kept in the workdir.
      set_level: whether the calibration corrects the counts by one factor as well.
      output: the folder for the files, instead of the one described above.

    Raises ConfigError, InputError or CheckpointError.
    """
    counter = Counter.load(workdir)
    config = counter.config
    split = split or ("test" if dataset else config.target.test_split)
    dataset = dataset or config.target.dataset
    records = sources.open_source(dataset, split, data_dir or config.data_dir)
    earlier = results.finished_rows(workdir)
    own = (dataset, split) == (config.target.dataset, config.target.test_split)
    counter.calibration = None  # one that the workdir has is of other images
    kind = "counts" if calibrate_on else counter.interval_kind
    replaces = bool(earlier) and own and kind == "members"
    below = Layout(workdir).evaluations / _folder_name(dataset, split, counter.step, kind)
    output = output or (workdir if replaces else below)
    if output.resolve() == workdir.resolve() and not replaces:
        raise ConfigError(
            f"--output={output}: the workdir is for the results of its finished run on its own target: name another folder"
        )

    progress = functools.partial(progress_bar, description="evaluating")
    if calibrate_on:
        counter.calibrate(calibrate_on, data_dir, progress, set_level=set_level).save(workdir)
    trained = TrainedCounter(counter.sampler, counter.variables, counter.stage, counter.step)
    examples = Examples(records, counter.resize_rule)
    counts, predictions = count_examples(config, trained, examples, progress, counter.intervals_at)
    if records.submission and all(row.true is None for row in counts):
        return _write_submission(output, records, counts)

    # At the counter's own level, whatever the calibration has set.
    plain = [
        dataclasses.replace(row, count=float(p.counts.mean()))
        for row, p in zip(counts, predictions, strict=True)
    ]
    with_counts = errors_with_counts(config, trained, examples, plain, progress)
    rows = result_rows(config, trained, records, counts, with_counts=with_counts, interval_kind=kind)
    reliability = uncertainty_metrics.of_predictions(predictions, counter.intervals_at)
    print(describe(rows, reliability))
    if kind != "members":
        reliability["images"]["calibration"] = _describe_intervals(counter, dataset, split, predictions)
        print(reliability["images"]["calibration"])
    evaluation = Evaluation(counts, predictions, rows, reliability, with_counts)
    write_evaluation(output, evaluation, examples, Density(**config.density))
    kept = _other_rows(earlier, rows) if replaces and output == workdir else []
    results.write_results(output, [*kept, *rows])
    layout = Layout(output)
    page.write_report(layout.report, [page.read_run(output, trained_in=workdir)], f"{dataset} {split}")
    print(f"wrote {layout.results}, {layout.predictions()}, {layout.report}")
    return output


def _describe_intervals(counter: Counter, dataset: str, split: str, predictions: list[Prediction]) -> str:
    """Return what the intervals of a set are based on, and what that means for this set, as text."""
    text = counter.describe_intervals()
    if counter.calibration:
        return f"{text}; {counter.calibration.describe_shift(predictions)}"
    if counter.domains and counter.domains.has_seen(dataset, split):
        return f"{text}; {dataset} {split} took part, so that its own coverage says nothing of other images"
    return text


def _folder_name(dataset: str, split: str, step: int, kind: str) -> str:
    suffix = {"members": "", "counts": "_calibrated", "domains": "_domains"}[kind]
    return f"{dataset}_{split}_{step}{suffix}".replace("/", "-")


def _write_submission(output: pathlib.Path, records, counts: list[results.PredictionRow]) -> pathlib.Path:
    """Write the counts of a set without labels, in the form that its authors' server takes."""
    results.write_predictions(Layout(output).predictions(), counts)
    path = output / "submission.txt"
    write_atomic(path, records.submission([vars(row) for row in counts]))
    print(f"{records.name} {records.split} has no labels: wrote {path} for its authors' server")
    return output


def _other_rows(earlier: list[results.ResultRow], rows: list[results.ResultRow]) -> list[results.ResultRow]:
    """Return the rows of results.json that `rows` do not replace: those of other stages and other sets."""
    new = {(row["stage"], row["target"], row["split"]) for row in rows}
    return [row for row in earlier if (row["stage"], row["target"], row["split"]) not in new]
