"""Workdirs with made-up numbers and pictures, for the tests of what reads workdirs."""

import csv
import hashlib
import json
import pathlib

import cv2
import numpy as np

GROUP = {
    "variant": "",
    "uncertainty": "masksembles",
    "model": "tiny",
    "source": "synthetic/source train",
    "target": "synthetic/target",
    "split": "test",
}
BIAS = {"no_adapt": 0.35, "ours": 0.1, "supervised": -0.02}


def row(method: str = "ours", seed: int = 0, **changes) -> dict:
    """Return a row of results.json."""
    base = {"no_adapt": 45.0, "ours": 31.0, "supervised": 20.0}.get(method, 35.0) + seed
    return {
        "method": method, **GROUP, "seed": seed, "images": 24, "mae": base, "rmse": 1.4 * base, "bias": 0.3 * base,
        "pearson": 0.8, "mae_scaled": 0.8 * base, "mae_constant": 61.25, "mae_10_counts": 0.9 * base,
        "mae_10_counts_spread": 2.5, "interval_kind": "members", "interval_level": 0.9,
        "interval_coverage": 0.625, "interval_width": 40.0, "stage": "last", "step": 600,
        "weights_sha256": hashlib.sha256(f"{method}{seed}".encode()).hexdigest(), **changes,
    }  # fmt: skip


def workdir(
    folder: pathlib.Path, method: str = "ours", seed: int = 0, *, pictures=None, labelled=True, **changes
):
    """Write a workdir and return its path. `pictures` are (image, points) pairs that replace the made-up ones."""
    rng = np.random.default_rng([seed, *method.encode()])
    folder.mkdir(parents=True)
    predictions = _predictions(rng, BIAS.get(method, 0.2), labelled)
    _panels(folder / "panels", rng, predictions, labelled, pictures)
    last = {**row(method, seed), **_errors(predictions, labelled), **changes}
    rows = [{**last, "stage": stage, "step": step} for stage, step in (("stage1", 400), ("round1", 500))] + [
        last
    ]
    (folder / "config.json").write_text(json.dumps({"method": {"name": method}, "seed": seed}))
    (folder / "log.jsonl").write_text("".join(json.dumps(r) + "\n" for r in _log(rng, method)))
    if labelled:
        (folder / "results.json").write_text(json.dumps(rows if method == "ours" else [last]))
        (folder / "uncertainty.json").write_text(json.dumps(_reliability()))
        (folder / "errors_with_counts.json").write_text(json.dumps(_with_counts(last["mae"])))
    with open(folder / "predictions.csv", "w", newline="") as file:
        writer = csv.DictWriter(file, ("id", "true", "count", "std", "low", "high"))
        writer.writeheader()
        writer.writerows(predictions)
    return folder


def _with_counts(mae: float) -> dict:
    shares = {"0": 1.0, "1": 0.99, "2": 0.97, "3": 0.95, "5": 0.92, "10": 0.9}
    return {
        number: {"mean": share * mae, "std": 2.5, "low": 0.97 * share * mae, "high": 1.04 * share * mae}
        for number, share in shares.items()
    }


def _reliability() -> dict:
    curve = np.linspace(1, 0.6, 20)
    one = {
        "n": 24, "spearman": 0.4, "sparsification": curve.tolist(), "oracle": (curve**3).tolist(), "ause": 0.2,
        "nll": 5.0, "levels": [0.5, 0.8, 0.9, 0.95], "coverage": [0.3, 0.5, 0.6, 0.7], "width": [9.0, 20.0, 30.0, 40.0],
        "calibration_error": 0.26,
    }  # fmt: skip
    return {"images": one, "blocks": one}


def crowd(rng: np.random.Generator, height: int = 160, width: int = 216, people: int = 60):
    """Return (image uint8 [H, W, 3], points [N, 2]): blobs on a gradient, smaller towards the top."""
    image = np.linspace(190, 90, height)[:, None, None] * np.ones((1, width, 3)) * (0.9, 1.0, 0.95)
    image = (image + rng.normal(0, 6, image.shape)).clip(0, 255).astype(np.uint8)
    points = rng.uniform((4, height * 0.3), (width - 4, height - 4), (people, 2)).astype(np.float32)
    for x, y in points[np.argsort(points[:, 1])]:
        colour = tuple(int(c) for c in rng.integers(20, 220, 3))
        cv2.circle(image, (int(x), int(y)), max(1, int(6 * y / height)), colour, cv2.FILLED, cv2.LINE_AA)
    return image, points


def density(points: np.ndarray, height: int, width: int) -> np.ndarray:
    """Return the people per cell, smoothed; the sum is the number of points."""
    rows, columns = -(-height // 8), -(-width // 8)
    edges = np.arange(rows + 1) * 8, np.arange(columns + 1) * 8
    grid = np.histogram2d(points[:, 1], points[:, 0], bins=edges)[0].astype(np.float32)
    smooth = cv2.GaussianBlur(grid, (5, 5), 0.7)
    return smooth * (grid.sum() / max(smooth.sum(), 1e-9))


def _predictions(rng, bias: float, labelled: bool) -> list[dict]:
    true = rng.integers(20, 300, 24)
    count = true * (1 + bias) + rng.normal(0, 12, 24)
    std = np.abs(rng.normal(0.07, 0.02, 24)) * count
    low, high = np.maximum(0, count - 1.9 * std), count + 1.9 * std
    return [
        {"id": f"part/image_{i}.jpg", "true": float(true[i]) if labelled else "", "count": float(count[i]),
         "std": float(std[i]), "low": float(low[i]), "high": float(high[i])}
        for i in range(24)
    ]  # fmt: skip


def _errors(predictions: list[dict], labelled: bool) -> dict:
    if not labelled:
        return {}
    true, count = (np.array([p[name] for p in predictions]) for name in ("true", "count"))
    error = count - true
    inside = [p["low"] <= p["true"] <= p["high"] for p in predictions]
    return {
        "mae": float(np.abs(error).mean()), "rmse": float(np.sqrt((error**2).mean())), "bias": float(error.mean()),
        "pearson": float(np.corrcoef(true, count)[0, 1]), "mae_scaled": float(np.abs(error - error.mean()).mean()),
        "mae_constant": float(np.abs(true - np.median(true)).mean()), "interval_coverage": float(np.mean(inside)),
    }  # fmt: skip


def _log(rng, method: str) -> list[dict]:
    rows = []
    for step in range(10, 601, 10):
        stage = "stage1" if method == "no_adapt" or step <= 400 else "round1" if step <= 500 else "round2"
        density_loss = 900 * np.exp(-step / 120) + 25 + rng.normal(0, 3)
        rows.append({"step": step, "stage": stage, "loss": density_loss + 300 * np.exp(-step / 200)})
        rows[-1] |= {"density_loss": density_loss, "steps_per_s": 3.0}
        if method == "ours" and stage == "stage1":
            rows[-1] |= {
                "upside_down_loss": 0.7 * np.exp(-step / 200),
                "upside_down_accuracy": 1 - 0.5 ** (step / 90),
            }
        elif method == "ours":
            rows[-1] |= {"pseudo_loss": 60 * np.exp(-(step - 400) / 90)}
    return rows


def _panels(folder: pathlib.Path, rng, predictions: list[dict], labelled: bool, pictures) -> None:
    folder.mkdir()
    for i, (rank, off) in enumerate({"best": 1.01, "middle": 0.9, "worst": 1.5}.items()):
        image, points = pictures[i] if pictures else crowd(rng)
        true = density(points, *image.shape[:2])
        noise = cv2.GaussianBlur(rng.gamma(2.0, 0.5, true.shape).astype(np.float32), (5, 5), 1.0)
        estimate = cv2.GaussianBlur(true, (5, 5), 0.8) * noise
        estimate = (estimate * off * true.sum() / estimate.sum()).astype(np.float32)
        arrays = {
            "image": image,
            "estimate": estimate,
            "uncertainty": (0.3 * estimate * noise + 0.002 * noise),
        }
        prediction = predictions[i]
        prediction |= {"count": float(estimate.sum()), "std": 0.1 * float(estimate.sum())}
        prediction |= {"low": 0.85 * prediction["count"], "high": 1.2 * prediction["count"]}
        if labelled:
            arrays["true"], prediction["true"] = true, float(len(points))
        np.savez_compressed(
            folder / f"{rank}_{prediction['id'].replace('/', '_')}.npz", id=prediction["id"], **arrays
        )
