"""Evaluate a counter on a labelled set: counts, errors, and how good its uncertainty is."""

import dataclasses
import hashlib
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from cc_jax.distributed import mesh
from cc_jax.errors import InputError
from cc_jax.evaluation import count_metrics, counted_images, uncertainty_metrics
from cc_jax.evaluation.intervals import IntervalsAt, estimate_counts, members_alone
from cc_jax.inference.predict import Batching, Prediction, predict_examples
from cc_jax.workdir.results import PredictionRow, ResultRow


@dataclasses.dataclass(frozen=True)
class TrainedCounter:
    """A counter to evaluate, and how far it has been trained.

    Attributes:
      sampler: `inference.predict.make_sampler`'s, of the config's network.
      variables: its variables, on this process's devices.
      stage: the stage that trained it last.
      step: the number of steps that have trained it.
    """

    sampler: Callable
    variables: dict[str, Any]
    stage: str
    step: int


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """The results of a counter on one set of images.

    Attributes:
      counts: the rows of predictions.csv, in the set's order.
      predictions: the same images' samples.
      results: rows of results.json: one for each scene where the dataset's protocol asks for that, the whole set's last.
      reliability: the contents of uncertainty.json; see `uncertainty_metrics.of_predictions`.
      with_counts: the contents of errors_with_counts.json; see `errors_with_counts`.
    """

    counts: list[PredictionRow]
    predictions: list[Prediction]
    results: list[ResultRow]
    reliability: dict[str, dict]
    with_counts: dict[str, dict]


def evaluate_examples(config, counter: TrainedCounter, examples, progress: Callable = iter) -> Evaluation:
    """Count a labelled set and compare the counts with its labels.

    Args:
      examples: `data.examples.Examples` of a set.
      progress: wraps the iterator over batches, for a progress bar.

    Raises InputError when no image has labels.
    """
    counts, predictions = count_examples(config, counter, examples, progress)
    with_counts = errors_with_counts(config, counter, examples, counts, progress)
    results = result_rows(config, counter, examples, counts, with_counts=with_counts)
    reliability = uncertainty_metrics.of_predictions(predictions)
    return Evaluation(counts, predictions, results, reliability, with_counts)


def count_examples(
    config,
    counter: TrainedCounter,
    examples,
    progress: Callable = iter,
    intervals_at: IntervalsAt = members_alone,
) -> tuple[list[PredictionRow], list[Prediction]]:
    """Return the rows of predictions.csv and the predictions, both in the order of `examples`.

    Args:
      progress: wraps the iterator over batches.
      intervals_at: says what the intervals are based on.
    """
    found = predict_examples(counter.sampler, counter.variables, examples, batching_of(config), progress)
    predictions = sorted(found, key=lambda p: p.index)
    samples_nxS = np.stack([p.counts for p in predictions])
    based_on = intervals_at(np.stack([p.embedding for p in predictions]))
    estimates = estimate_counts(samples_nxS, config.evaluation.interval_level, based_on)
    numbers = zip(*(column.tolist() for column in estimates), strict=True)
    rows = [
        PredictionRow(p.id, None if np.isnan(p.true) else p.true, *four)
        for p, four in zip(predictions, numbers, strict=True)
    ]
    return rows, predictions


def errors_with_counts(
    config,
    counter: TrainedCounter,
    tested,
    counts: list[PredictionRow],
    progress: Callable = iter,
) -> dict[str, dict]:
    """Return what the MAE would be if a few training images had been counted by hand; {} if none has labels.

    Args:
      tested: `data.examples.Examples` of the set that was evaluated.
      counts: of all its images, at the counter's own level.
      progress: wraps the iterator over batches.

    See `counted_images.errors_by_number` for the result.
    """
    examples = counted_images.open_counted(config, tested)
    labelled = [row for row in counts if row.true is not None]
    if examples is None or not labelled:
        return {}
    rows, _ = count_examples(config, counter, examples, progress)
    ids = [[row.id for row in some] for some in (rows, counts)]
    kept = counted_images.not_tested(examples, tested, *ids)
    counted = [row for row, keep in zip(rows, kept, strict=True) if keep and row.true is not None]
    columns = [
        np.array([getattr(row, name) for row in some])
        for some in (labelled, counted)
        for name in ("true", "count")
    ]
    true, count, counted_true, counted_count = columns
    return counted_images.errors_by_number(true, count, counted_true, counted_count)


def result_rows(
    config,
    counter: TrainedCounter,
    records,
    counts: list[PredictionRow],
    *,
    with_counts: dict[str, dict] | None = None,
    interval_kind: str = "members",
) -> list[ResultRow]:
    """Return the rows of results.json for the counts of one set; the whole set's row is the last one.

    Where the dataset's protocol treats scenes apart (WorldExpo'10), each scene has a row, and the whole set's MAE is the
    mean over the scenes' MAEs. Its other figures are over all images.

    Args:
      records: the set, with its `name`, `split` and `scenes_apart`.
      counts: of all its images.
      with_counts: of `errors_with_counts`, for the whole set's row.
      interval_kind: what the intervals are based on; see `intervals.KINDS`.

    Raises InputError when no image has labels.
    """
    labelled = [row for row in counts if row.true is not None]
    if not labelled:
        raise InputError(
            f"{records.name} {records.split} has no labelled image to compare the counts with: name a labelled split"
        )
    about = {
        "method": config.method.name,
        "uncertainty": config.uncertainty.name,
        "model": config.model.name,
        "source": " + ".join(f"{name} {split}" for name, split in _labelled_sources(config)),
        "target": records.name,
        "split": records.split,
        "seed": config.seed,
        "variant": config.variant,
    }
    params = counter.variables["params"]
    trained = {"stage": counter.stage, "step": counter.step, "weights_sha256": weights_sha256(params)}
    level = config.evaluation.interval_level
    ten = (with_counts or {}).get(counted_images.TEN, {})
    with_ten = {"mae_10_counts": ten.get("mean"), "mae_10_counts_spread": ten.get("std")}
    kind = {"interval_kind": interval_kind}
    whole = {**about, **_errors(labelled, level), **with_ten, **kind, **trained}
    if not records.scenes_apart:
        return [whole]
    scenes: dict[str, list[PredictionRow]] = {}
    for row in labelled:
        scenes.setdefault(row.id.split("/")[0], []).append(row)
    parts = [
        {
            **about,
            "split": f"{records.split}/{name}",
            **_errors(rows, level),
            **dict.fromkeys(with_ten),
            **kind,
            **trained,
        }
        for name, rows in sorted(scenes.items())
    ]
    return [*parts, {**whole, "mae": float(np.mean([part["mae"] for part in parts]))}]


def describe(results: list[ResultRow], reliability: dict[str, dict]) -> str:
    """Return rows of results.json and the worth of the uncertainty as lines of text."""
    return "\n".join([*map(describe_result, results), uncertainty_metrics.describe(reliability)])


def describe_result(row: ResultRow) -> str:
    """Return a row of results.json as one line of text."""
    errors = [
        f"MAE {row['mae']:.2f}", f"RMSE {row['rmse']:.2f}", f"bias {row['bias']:+.2f}", f"Pearson {row['pearson']:.3f}",
        f"scaled MAE {row['mae_scaled']:.2f}", f"constant {row['mae_constant']:.2f}",
    ]  # fmt: skip
    if row["mae_10_counts"] is not None:
        errors.append(f"with 10 counts {row['mae_10_counts']:.2f}")
    return (
        f"{row['method']} on {row['target']} {row['split']} ({row['images']} images, after {row['stage']}, step "
        f"{row['step']}): {'  '.join(errors)}  {row['interval_level']:.0%} intervals ({row['interval_kind']}) cover "
        f"{row['interval_coverage']:.0%}, width {row['interval_width']:.1f}"
    )


def batching_of(config) -> Batching:
    """Return how the config puts images together for the network."""
    return Batching(
        batch_size=config.evaluation.batch_size,
        max_buckets=config.evaluation.max_buckets,
        threads=config.threads,
    )


def counter_variables(state) -> dict[str, Any]:
    """Return the variables that count, on this process's devices: those of the parameters' moving average."""
    return mesh.gather_replicated(mesh.make_mesh(jax.local_devices()), state.variables(state.ema))


def weights_sha256(params) -> str:
    """Return a digest of the parameters, in the order of their names; equal exactly when all bits are."""
    digest = hashlib.sha256()
    for path, leaf in sorted(
        jax.tree_util.tree_leaves_with_path(params), key=lambda item: jax.tree_util.keystr(item[0])
    ):
        array = np.ascontiguousarray(jax.device_get(leaf))
        digest.update(f"{jax.tree_util.keystr(path)} {array.dtype} {array.shape}".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()


def _labelled_sources(config) -> list[tuple[str, str]]:
    """Return (dataset, split) of each labelled set that is trained on."""
    extra = [(name, split) for name, split, _ in config.source.extra_datasets]
    return [(config.source.dataset, config.source.split), *extra]


def _errors(rows: list[PredictionRow], level: float) -> dict[str, Any]:
    """Return the part of a row of results.json that is computed from the counts."""
    true, count, low, high = (
        np.array([getattr(row, name) for row in rows]) for name in ("true", "count", "low", "high")
    )
    return {
        "images": len(rows),
        **count_metrics.count_errors(true, count),
        "interval_level": level,
        **count_metrics.interval_errors(true, low, high),
    }
