"""Evaluate each finished stage of a run once, and keep the results in the workdir."""

import dataclasses
import functools
import pathlib

import jax

from cc_jax.data.density import Density
from cc_jax.data.images import safe_name
from cc_jax.data.progress import progress_bar
from cc_jax.errors import CheckpointError
from cc_jax.evaluation.evaluate import TrainedCounter, counter_variables, describe, evaluate_examples
from cc_jax.evaluation.files import write_evaluation
from cc_jax.workdir import results
from cc_jax.workdir.layout import Layout


@dataclasses.dataclass(frozen=True)
class StageEnd:
    """The end of a stage of training.

    Attributes:
      name: the stage's.
      step: the number of steps of this stage and all before it.
      counted: how many of these trained the counter; the rows of results.json state it as `step`.
    """

    name: str
    step: int
    counted: int


def evaluate_stage(config, workdir: pathlib.Path, end: StageEnd, state, tests, sampler) -> list[dict]:
    """Return the rows that a stage contributes to results.json, from stages/<stage>.json if they are there.

    Otherwise evaluate all test sets, print the results and write them. predictions.csv, uncertainty.json and the panels
    are those of the first test set, and each stage replaces those of the stage before. The other test sets' counts go to
    predictions_<dataset>_<split>.csv.

    Args:
      state: the `TrainState` at the end of the stage.
      tests: `data.examples.Examples` of the sets; the first one's row becomes the last one.
      sampler: `inference.predict.make_sampler`'s.

    Raises CheckpointError if the stage was not evaluated and `state` is already that of a later one.
    """
    kept = results.read_stage_rows(workdir, end.name)
    if kept is not None:
        return kept
    if int(state.step) != end.step:
        raise CheckpointError(
            f"{Layout(workdir).stage_results(end.name)} is missing, and the weights at the end of that stage are gone: "
            "train in a new workdir"
        )
    progress = functools.partial(progress_bar, description="evaluating")
    counter = TrainedCounter(sampler, counter_variables(state), end.name, end.counted)
    main, *others = tests
    rows = []
    for test in reversed(others):
        evaluation = evaluate_examples(config, counter, test, progress)
        rows += evaluation.results
        if jax.process_index() == 0:
            path = Layout(workdir).predictions(safe_name(f"{test.name}_{test.split}"))
            results.write_predictions(path, evaluation.counts)
    evaluation = evaluate_examples(config, counter, main, progress)
    rows += evaluation.results
    print(describe(rows, evaluation.reliability), flush=True)
    if jax.process_index() == 0:
        write_evaluation(workdir, evaluation, main, Density(**config.density))
        results.write_stage_rows(workdir, end.name, rows)
    return rows
