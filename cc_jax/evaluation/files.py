"""The files that an evaluation leaves in a folder, beside results.json."""

import pathlib

import numpy as np

from cc_jax.data.density import Density
from cc_jax.evaluation.evaluate import Evaluation
from cc_jax.inference.predict import Prediction
from cc_jax.workdir import panels, results
from cc_jax.workdir.layout import Layout

_QUANTILES = (0.1, 0.5, 0.9)  # of the true counts: where the images of `panels.BY_COUNT` lie


def write_evaluation(folder: pathlib.Path, evaluation: Evaluation, examples, density: Density) -> None:
    """Write predictions.csv, uncertainty.json, errors_with_counts.json and the report's panels into `folder`.

    Args:
      examples: `data.examples.Examples` of the set that was evaluated.
      density: how head points become the true density map.
    """
    results.write_predictions(Layout(folder).predictions(), evaluation.counts)
    results.write_uncertainty(folder, evaluation.reliability)
    results.write_errors_with_counts(folder, evaluation.with_counts)
    chosen = choose_images(evaluation.predictions)
    panels.write_panels(
        folder, [_panel(role, prediction, examples, density) for role, prediction in chosen.items()]
    )


def choose_images(predictions: list[Prediction]) -> dict[str, Prediction]:
    """Choose the labelled images that the report shows: {role: prediction}, the roles being those of workdir/panels.py.

    Three images by the absolute error (smallest, median, largest), and three by the true count, which are the same for
    every method.
    """
    labelled = [p for p in predictions if not np.isnan(p.true)]
    by_error = sorted(labelled, key=lambda p: abs(p.counts.mean() - p.true))
    by_count = sorted(labelled, key=lambda p: (p.true, p.id))
    chosen: dict[str, Prediction] = dict(
        zip(panels.BY_ERROR, (by_error[0], by_error[len(labelled) // 2], by_error[-1]), strict=True)
    )
    for role, quantile in zip(panels.BY_COUNT, _QUANTILES, strict=True):
        chosen[role] = by_count[round(quantile * (len(labelled) - 1))]
    return chosen


def _panel(role: str, prediction: Prediction, examples, density: Density) -> panels.Panel:
    example = examples[prediction.index]
    height, width = example["image"].shape[:2]
    return panels.Panel(
        role=role,
        id=prediction.id,
        image=example["image"],
        estimate=prediction.density,
        uncertainty=prediction.uncertainty,
        true=density.map(example["points"], height, width),
    )
