"""From a trained counter and a labelled set to rows of results.json, predictions.csv and the report's panels."""

import csv
import functools
import hashlib
import io
import json
import pathlib
from collections.abc import Callable, Iterable

import jax
import numpy as np

from cc_jax.data import images
from cc_jax.data.density import Density
from cc_jax.data.files import write_atomic
from cc_jax.distributed import mesh
from cc_jax.errors import CheckpointError, InputError
from cc_jax.evaluation import count_metrics, uncertainty_metrics
from cc_jax.evaluation.calibration import Calibrated
from cc_jax.inference.predict import Batching, Prediction, interval_from_samples, predict_examples

COLUMNS = ("id", "true", "count", "std", "low", "high")


def batching_of(config) -> Batching:
    """How the config puts images together for the network."""
    return Batching(
        batch_size=config.evaluation.batch_size,
        max_buckets=config.evaluation.max_buckets,
        threads=config.threads,
    )


def counter_variables(state) -> dict:
    """The variables that count: the moving average of the parameters, on this process's devices."""
    return mesh.gather_replicated(mesh.make_mesh(jax.local_devices()), state.variables(state.ema))


def weights_sha256(params) -> str:
    """Digest of the parameters in the fixed order of their names: equal exactly when all bits are."""
    digest = hashlib.sha256()
    for path, leaf in sorted(
        jax.tree_util.tree_leaves_with_path(params), key=lambda item: jax.tree_util.keystr(item[0])
    ):
        array = np.ascontiguousarray(jax.device_get(leaf))
        digest.update(f"{jax.tree_util.keystr(path)} {array.dtype} {array.shape}".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()


def evaluate_examples(
    sampler: Callable,
    variables: dict,
    examples,
    how: Batching,
    level: float,
    progress: Callable = iter,
    calibrated: Calibrated | None = None,
) -> tuple[list[dict], list[Prediction]]:
    """(rows of predictions.csv, predictions), both in the examples' order; intervals as calibrated, if they are."""
    found = sorted(predict_examples(sampler, variables, examples, how, progress), key=lambda p: p.index)
    rows = []
    for p in found:
        count, std, low, high = interval_from_samples(p.counts, level)
        if calibrated is not None:
            low, high = (float(end) for end in calibrated.errors.interval(count, std, level))
        rows.append(dict(zip(COLUMNS, (p.id, p.true, count, std, low, high), strict=True)))
    return rows, found


def result_rows(config, rows: list[dict], params, *, stage: str, step: int, records) -> list[dict]:
    """Rows of results.json: that of the whole set last, one a scene before it where the set's protocol asks for them.

    The whole set's MAE is then the mean over the scenes'; the other figures are over all images.
    Raises InputError when no image has labels.

    Args:
      rows: of `evaluate_examples`, those of `records`.
    """
    labelled = [row for row in rows if not np.isnan(row["true"])]
    if not labelled:
        raise InputError(
            f"{records.name} {records.split} has no labelled image: there is nothing to compare the counts with"
        )
    about = {
        "method": config.method.name,
        "uncertainty": config.uncertainty.name,
        "model": config.model.name,
        "source": " + ".join(f"{name} {split}" for name, split in _sources(config)),
        "target": records.name,
        "split": records.split,
        "seed": config.seed,
        "variant": config.variant,
    }
    trained = {"stage": stage, "step": step, "weights_sha256": weights_sha256(params)}
    level = config.evaluation.interval_level
    whole = {**about, **_errors(labelled, level), **trained}
    if not records.scenes_apart:
        return [whole]
    scenes: dict[str, list[dict]] = {}
    for row in labelled:
        scenes.setdefault(row["id"].split("/")[0], []).append(row)
    parts = [
        {**about, "split": f"{records.split}/{name}", **_errors(some, level), **trained}
        for name, some in sorted(scenes.items())
    ]
    return [*parts, {**whole, "mae": float(np.mean([part["mae"] for part in parts]))}]


def _sources(config) -> list[tuple[str, str]]:
    """(dataset, split) of each labelled set."""
    return [
        (config.source.dataset, config.source.split),
        *((name, split) for name, split, _ in config.source.extra_datasets),
    ]


def _errors(rows: list[dict], level: float) -> dict:
    """The figures of a set of images."""
    column = {name: np.array([row[name] for row in rows]) for name in ("true", "count", "low", "high")}
    return {
        "images": len(rows),
        **count_metrics.count_errors(column["true"], column["count"]),
        "interval_level": level,
        **count_metrics.interval_errors(column["true"], column["low"], column["high"]),
    }


def stage_rows(
    config, workdir: pathlib.Path, stage: str, step: int, counted: int, state, sampler, tests, how, bar
) -> list[dict]:
    """The rows of one finished stage, kept in `workdir/stages/<stage>.json` so that a resume does not lose them.

    Writes predictions.csv and the panels of the first of `tests`, whose row is the last one, and
    predictions_<dataset>_<split>.csv of each of the others; the last stage's stay.

    Args:
      step, counted: steps done in all, and those that trained the counter, which the rows state.
    """
    path = workdir / "stages" / f"{stage}.json"
    if path.exists():
        return json.loads(path.read_text())
    if int(state.step) != step:
        raise CheckpointError(f"{path} is missing, and the weights of that stage are gone: use a new workdir")
    progress = functools.partial(bar, description="evaluating")
    level = config.evaluation.interval_level
    found = []
    for test in reversed(tests):
        rows, predictions = evaluate_examples(sampler, counter_variables(state), test, how, level, progress)
        found += result_rows(config, rows, state.ema, stage=stage, step=counted, records=test)
        if jax.process_index() == 0:
            suffix = "" if test is tests[0] else f"_{images.safe_name(f'{test.name}_{test.split}')}"
            write_predictions(workdir / f"predictions{suffix}.csv", rows)
    measured = uncertainty_metrics.of_predictions(predictions)
    print("\n".join([*map(describe_result, found), uncertainty_metrics.describe(measured)]), flush=True)
    if jax.process_index() == 0:
        write_panels(workdir / "panels", tests[0], predictions, Density(**config.density))
        write_reliability(workdir, measured)
        write_atomic(path, json.dumps(found))
    return found


def describe_result(row: dict) -> str:
    """A result as one line for a person."""
    return (
        f"{row['method']} on {row['target']} {row['split']} ({row['images']} images, after {row['stage']}, step "
        f"{row['step']}): MAE {row['mae']:.2f}  RMSE {row['rmse']:.2f}  bias {row['bias']:+.2f}  "
        f"Pearson {row['pearson']:.3f}  scaled MAE {row['mae_scaled']:.2f}  constant {row['mae_constant']:.2f}  "
        f"{row['interval_level']:.0%} intervals cover {row['interval_coverage']:.0%}, width {row['interval_width']:.1f}"
    )


def write_predictions(path: pathlib.Path, rows: Iterable[dict]) -> None:
    """predictions.csv, numbers unrounded; `true` is empty without labels."""
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    for row in rows:
        writer.writerow({**row, "true": "" if np.isnan(row["true"]) else row["true"]})
    write_atomic(path, text.getvalue())


def write_reliability(workdir: pathlib.Path, measured: dict) -> None:
    """uncertainty.json: what `reliability.of_predictions` says."""
    write_atomic(workdir / "uncertainty.json", json.dumps(measured, indent=1))


def write_results(workdir: pathlib.Path, rows: list[dict]) -> None:
    """results.json; written last, so that its last row says that the run is finished."""
    write_atomic(workdir / "results.json", json.dumps(rows, indent=1))


def finished_rows(workdir: pathlib.Path) -> list[dict]:
    """The rows of results.json; empty when the run has not finished."""
    path = workdir / "results.json"
    if not path.exists():
        return []
    try:
        return json.loads(path.read_text())
    except ValueError as error:
        raise CheckpointError(
            f"{path} is damaged ({error}): remove it, and the same command evaluates again"
        ) from error


def write_panels(folder: pathlib.Path, examples, predictions, density: Density) -> None:
    """What the report shows, one npz each: the best, the middle and the worst image by absolute error, and a sparse, a
    typical and a dense one by the true count, which are the same for every method."""
    labelled = [p for p in predictions if not np.isnan(p.true)]
    by_error = sorted(labelled, key=lambda p: abs(p.counts.mean() - p.true))
    by_count = sorted(labelled, key=lambda p: (p.true, p.id))
    for old in folder.glob("*.npz"):
        old.unlink()
    last = len(labelled) - 1
    chosen = {"best": by_error[0], "middle": by_error[len(labelled) // 2], "worst": by_error[last]}
    chosen |= {
        name: by_count[round(share * last)]
        for name, share in (("sparse", 0.1), ("typical", 0.5), ("dense", 0.9))
    }
    for rank, p in chosen.items():
        example = examples[p.index]
        height, width = example["image"].shape[:2]
        true = density.map(example["points"], height, width)
        arrays = {
            "image": example["image"],
            "true": true,
            "estimate": p.density,
            "uncertainty": p.uncertainty,
        }
        buffer = io.BytesIO()
        np.savez_compressed(buffer, id=p.id, **arrays)
        write_atomic(folder / f"{rank}_{images.safe_name(p.id)}.npz", buffer.getvalue())
