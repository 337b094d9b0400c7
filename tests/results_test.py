"""The files of a workdir's results: what is written is read again, bit for bit, and what is damaged is named."""

import json
import math

import numpy as np
import pytest
from fake_runs import row
from hypothesis import given
from hypothesis import strategies as st

from cc_jax.errors import CheckpointError, InputError
from cc_jax.workdir import panels, results

number = st.floats(0, 1e6)


def test_predictions_are_plain_csv(tmp_path):
    rows = [
        results.PredictionRow("a/1.jpg", 3.0, 2.5, 0.1, 2.25, 2.75),
        results.PredictionRow("b, 2", None, 1 / 3, 0.0, 0.0, 1.0),
    ]
    results.write_predictions(tmp_path / "predictions.csv", rows)
    assert (tmp_path / "predictions.csv").read_text() == (
        'id,true,count,std,low,high\na/1.jpg,3.0,2.5,0.1,2.25,2.75\n"b, 2",,0.3333333333333333,0.0,0.0,1.0\n'
    )
    assert results.read_predictions(tmp_path / "predictions.csv") == rows


@given(st.lists(st.builds(results.PredictionRow, st.text(max_size=9), st.none() | number, *[number] * 4)))
def test_predictions_survive_a_round_trip(tmp_path_factory, rows):
    path = tmp_path_factory.mktemp("predictions") / "predictions.csv"
    rows = [vars(one) | {"id": one.id.replace("\r", "").replace("\x00", "")} for one in rows]
    rows = [results.PredictionRow(**one) for one in rows]
    results.write_predictions(path, rows)
    assert results.read_predictions(path) == rows


def test_results_survive_a_round_trip(tmp_path):
    rows = [row(mae=1 / 3, pearson=math.nan), row("no_adapt")]
    assert results.finished_rows(tmp_path) == []
    results.write_results(tmp_path, rows)
    found = results.read_results(tmp_path)
    assert [one["mae"] for one in found] == [1 / 3, 45.0] and math.isnan(found[0]["pearson"])
    assert results.finished_rows(tmp_path)[1] == rows[1]
    assert set(found[0]) == set(results.RESULT_FIELDS)


def test_rows_from_before_there_were_variants_are_read(tmp_path):
    old = row()
    del old["variant"]
    results.write_results(tmp_path, [old])
    assert results.read_results(tmp_path)[0]["variant"] == ""


@pytest.mark.parametrize("text", ["{", "[]", "{}", "[1]", '[{"method": "ours"}]', None])
def test_results_that_cannot_be_tabulated_are_named(tmp_path, text):
    if text is not None:
        (tmp_path / "results.json").write_text(text)
    with pytest.raises(InputError, match="results.json"):
        results.read_results(tmp_path)


@pytest.mark.parametrize("text", ["{", "{}", "[1]"])
def test_damaged_results_do_not_pass_for_an_unfinished_run(tmp_path, text):
    (tmp_path / "results.json").write_text(text)
    with pytest.raises(CheckpointError, match=r"results.json is damaged .*: remove it"):
        results.finished_rows(tmp_path)


def test_rows_of_a_stage(tmp_path):
    assert results.read_stage_rows(tmp_path, "round1") is None
    results.write_stage_rows(tmp_path, "round1", [row(mae=1 / 3)])
    assert results.read_stage_rows(tmp_path, "round1") == [row(mae=1 / 3)]
    assert results.read_stage_rows(tmp_path, "round2") is None
    (tmp_path / "stages" / "round1.json").write_text("[")
    with pytest.raises(CheckpointError, match=r"round1.json is damaged"):
        results.read_stage_rows(tmp_path, "round1")


@pytest.mark.parametrize("text", ["id,count\na,1\n", "id,true,count,std,low,high\na,1,x,0,0,0\n", None])
def test_predictions_that_cannot_be_read_are_named(tmp_path, text):
    if text is not None:
        (tmp_path / "predictions.csv").write_text(text)
    with pytest.raises(InputError, match="predictions.csv"):
        results.read_predictions(tmp_path / "predictions.csv")


def test_uncertainty(tmp_path):
    with pytest.raises(InputError, match=r"uncertainty.json: no such file"):
        results.read_uncertainty(tmp_path)
    results.write_uncertainty(tmp_path, {"images": {"n": 3, "spearman": None}})
    assert results.read_uncertainty(tmp_path) == {"images": {"n": 3, "spearman": None}}
    (tmp_path / "uncertainty.json").write_text(json.dumps([]))
    with pytest.raises(InputError, match="not a JSON object"):
        results.read_uncertainty(tmp_path)


def test_panels_come_back_in_their_order_and_replace_older_ones(tmp_path):
    rng = np.random.default_rng(0)

    def panel(role, id, labelled=True):
        estimate, uncertainty, true = rng.random((3, 4, 5), np.float32)
        image = rng.integers(0, 255, (32, 40, 3)).astype(np.uint8)
        return panels.Panel(role, id, image, estimate, uncertainty, true if labelled else None)

    panels.write_panels(tmp_path, [panel("best", "old")])
    written = [panel("dense", "a/1"), panel("worst", "b"), panel("best", "c", labelled=False)]
    panels.write_panels(tmp_path, written)
    found = panels.read_panels(tmp_path)
    assert [(one.role, one.id) for one in found] == [("best", "c"), ("worst", "b"), ("dense", "a/1")]
    assert found[0].true is None
    for one, other in zip(found, reversed(written), strict=False):
        for name in ("image", "estimate", "uncertainty", "true"):
            np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
