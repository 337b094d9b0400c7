"""The results table: means and spreads, notes on rows that cannot be compared, formats, exit codes."""

import csv
import io
import json
import statistics

import fake_runs
import programs
import pytest
from fake_runs import row
from hypothesis import given
from hypothesis import strategies as st

from cc_jax.errors import ConfigError
from cc_jax.report import paper_results, renderers, tables


def write(folder, *rows):
    folder.mkdir(parents=True)
    (folder / "results.json").write_text(json.dumps(rows))
    return folder


def call(*args):
    return programs.run(["-m", "cc_jax.tabulate", *args])


def test_mean_and_spread_over_seeds():
    (summary,) = tables.table([row(seed=s, mae=m) for s, m in enumerate((10.0, 12.0, 17.0))])
    assert (summary["mae"], summary["n"]) == (13.0, 3)
    assert summary["mae_std"] == pytest.approx(13**0.5)  # ((-3)^2 + (-1)^2 + 4^2) / 2 = 13
    assert "13.0 ± 3.6" in renderers.render([summary])


def test_the_folds_of_a_cross_validation_are_one_row():
    """No Adapt has the same weights in all folds, and all five results count nevertheless."""
    rows = [
        row(method, target="ucf_cc_50", split=f"fold_{fold}", mae=float(fold), weights_sha256=digest)
        for method, digest in (("no_adapt", "same"), ("ours", None))
        for fold in range(1, 6)
    ]
    no_adapt, ours = tables.table(rows)
    assert (no_adapt["mae"], no_adapt["n"], no_adapt["split"]) == (3.0, 5, "folds")
    assert (ours["mae"], ours["n"]) == (3.0, 5)
    assert tables.notes(rows) == []


def test_the_difference_is_taken_seed_by_seed():
    """Seed 1 is worse by 50 for both variants, which cancels in the differences."""
    rows = [row(seed=s, variant="default", mae=30.0 + 50 * s) for s in (0, 1)]
    rows += [row(seed=s, variant="soft", mae=28.0 + 52 * s) for s in (0, 1)]
    rows += [row(seed=0, variant="elsewhere", target="shanghaitech/part_a")]
    found = {
        r["variant"]: r
        for r in tables.table(tables.against(rows, "default"), (*tables.METRICS, tables.DIFFERENCE))
    }
    assert (found["default"]["mae_difference"], found["elsewhere"]["mae_difference"]) == (0, None)
    assert found["soft"]["mae_difference"] == -1.0
    assert found["soft"]["mae_difference_std"] == pytest.approx(2**0.5) and found["soft"]["mae_std"] > 30
    text = renderers.render(list(found.values()))
    assert "difference" in text and "-1.0 ± 1.4" in text
    assert "mae_difference" in renderers.render(list(found.values()), "csv").splitlines()[0]
    with pytest.raises(ConfigError, match="there are default, elsewhere, ours, soft"):
        tables.against(rows, "hard")
    with pytest.raises(ConfigError, match="several"):
        tables.against(rows, "ours")


@given(st.lists(st.floats(0, 1e4), min_size=1, max_size=6))
def test_table_agrees_with_statistics(values):
    (summary,) = tables.table([row(seed=s, mae=m, weights_sha256=str(s)) for s, m in enumerate(values)])
    assert summary["mae"] == pytest.approx(statistics.mean(values))
    if len(values) == 1:
        assert summary["mae_std"] is None
    else:
        assert summary["mae_std"] == pytest.approx(statistics.stdev(values), abs=1e-6)


def test_groups_and_their_order():
    rows = [
        row("supervised"),
        row("ours"),
        row("no_adapt"),
        row("ours", uncertainty="single"),
        row("ours", split="train"),
    ]
    found = [(r["method"], r["uncertainty"], r["split"]) for r in tables.table(rows)]
    assert found == [
        ("no_adapt", "masksembles", "test"),
        ("ours", "masksembles", "test"),
        ("ours", "single", "test"),
        ("supervised", "masksembles", "test"),
        ("ours", "masksembles", "train"),
    ]


def test_a_method_is_called_and_ordered_as_its_file_says(tmp_path, monkeypatch):
    rows = [row("supervised"), row("toy"), row("gone"), row("no_adapt")]
    assert [tables.method_name(r["method"]) for r in tables.table(rows)] == [
        "No Adapt",
        "gone",
        "toy",
        "Supervised",
    ]
    (tmp_path / "methods").mkdir()
    (tmp_path / "methods" / "toy.py").write_text(
        "class Method(base.Method):\n    display_name = 'A Toy'\n    table_position = 99.5\n"
    )
    monkeypatch.setenv("CC_JAX_PLUGINS", str(tmp_path))
    text = renderers.render(tables.table(rows))
    assert [line.split("  ")[0] for line in text.splitlines()[4:]] == [
        "No Adapt",
        "gone",
        "A Toy",
        "Supervised",
    ]
    assert "A Toy with seed 0" in tables.notes([row("toy", interval_width=0)])[0]


@pytest.mark.parametrize(
    "methods, leading",
    [
        (["no_adapt", "ours", "mic", "supervised"], "ours"),
        (["no_adapt", "gp", "mic", "supervised"], "mic"),
        (["no_adapt", "supervised"], "no_adapt"),
        ([], None),
    ],
)
def test_leading_method(methods, leading):
    assert tables.leading_method(methods) == leading


def test_last_row_of_a_workdir_counts():
    rows = [
        row(stage="stage1", step=100, mae=50.0),
        row(stage="round1", step=200, mae=40.0),
        row(split="train", mae=9.0),
    ]
    assert [(r["split"], r["mae"]) for r in tables.final_rows(rows)] == [("test", 40.0), ("train", 9.0)]


def test_fair_rows_have_no_notes():
    assert tables.notes([row("ours", seed=s) for s in range(3)] + [row("no_adapt")]) == []


def test_notes():
    (longer,) = tables.notes([row("ours", step=900), row("no_adapt", step=600)])
    assert "trains longer" in longer and "OURS 900, No Adapt 600" in longer
    (fewer,) = tables.notes([row("ours", images=24), row("no_adapt", images=23)])
    assert "test images" in fewer and "not comparable" in fewer
    assert tables.notes([row("ours", images=24), row("no_adapt", images=23, target="ucf_qnrf")]) == []


def test_a_dead_network_is_named():
    """All hidden units of the network have died: its samples agree everywhere."""
    (dead,) = tables.notes([row("no_adapt", seed=3, interval_width=0.0), row("ours")])
    assert dead.startswith("No Adapt with seed 3") and "learning_rate" in dead
    assert tables.notes([row(uncertainty="single", interval_width=0.0)]) == []


def test_the_same_seed_twice_is_said():
    same = [row(seed=1), row(seed=1)]
    assert "counts once" in tables.notes(same)[0] and tables.table(same)[0]["n"] == 1
    other = [row(seed=1), row(seed=1, weights_sha256="other", mae=50.0)]
    assert "different weights" in tables.notes(other)[0] and tables.table(other)[0]["n"] == 2


@pytest.mark.parametrize("nothing", [None, float("nan")])
def test_numbers_that_are_not_there(nothing):
    summaries = tables.table([row(pearson=nothing), row(seed=1, pearson=nothing)])
    assert summaries[0]["pearson"] is None
    headings, body, _ = renderers.cells(summaries)
    assert body[0][headings.index("Pearson")] == "-"
    (half,) = tables.table([row(pearson=nothing), row(seed=1, pearson=0.5)])
    assert (half["pearson"], half["pearson_std"]) == (0.5, None)


def test_csv_is_unrounded_and_whole():
    text = renderers.render(tables.table([row(mae=12.345678901234567)]), "csv")
    (read,) = csv.DictReader(io.StringIO(text))
    assert float(read["mae"]) == 12.345678901234567
    assert read["source"] == "synthetic/source train" and read["n"] == "1" and read["mae_std"] == ""


def test_markdown():
    text = renderers.render(tables.table([row(), row("no_adapt")]), "markdown", ["a remark"])
    lines = text.splitlines()
    assert lines[2].startswith("| method | MAE |") and lines[3].startswith("| --- | --: |")
    assert lines[4].startswith("| No Adapt | 45.0 |") and lines[-1] == "Note: a remark"
    assert len({line.count("|") for line in lines[2:6]}) == 1


def test_text_is_aligned():
    lines = renderers.render(tables.table([row(), row("no_adapt", mae=1234.5)])).splitlines()
    assert (
        len({line.index(cell) + len(cell) for line, cell in zip(lines[2:5:2], ("MAE", "1234"), strict=True)})
        == 1
    )
    assert "bias" in lines[2] and "+9.3" in lines[5]


def test_what_rows_share_stands_in_the_caption():
    headings, _, caption = renderers.cells(tables.table([row(), row("no_adapt")]))
    assert "source" not in headings and "synthetic/source train to synthetic/target" in caption
    assert "24 images, 600 steps, 90 % intervals (members), errors in people" in caption
    headings, _, caption = renderers.cells(tables.table([row(), row(target="ucf_qnrf")]))
    assert "target" in headings and "source synthetic/source train" in caption


def test_unknown_format():
    with pytest.raises(ConfigError, match="text, markdown, csv"):
        renderers.render(tables.table([row()]), "html")


def test_published_rows():
    ours = tables.table([row(target="shanghaitech/part_a")])
    summaries, remarks = paper_results.with_published(ours, [])
    assert [r["mae"] for r in summaries if r["method"] == "ours"] == [31.0, 109.2]
    assert "109" in renderers.render(summaries, "text", remarks) and "published" in remarks[0]
    assert "no figures" in paper_results.with_published(tables.table([row()]), [])[1][0]


@pytest.mark.parametrize("target, cut", [("shanghaitech/part_a", 32), ("shanghaitech/part_b", 50), ("ucf_cc_50", 31),
                                         ("ucf_qnrf", 28), ("worldexpo10", 61)])  # fmt: skip
def test_published_reductions(target, cut):
    """The reductions of the MAE that the paper states follow from its figures."""
    figures = paper_results.PUBLISHED[target]
    assert 100 * (1 - figures["ours"][0] / figures["no_adapt"][0]) == pytest.approx(cut, abs=0.6)


def test_command(tmp_path):
    good = [write(tmp_path / f"seed{s}", row(seed=s)) for s in range(2)]
    found = call(*good, f"--output={tmp_path / 'table.md'}", "--format=markdown")
    assert (found.returncode, found.stdout, found.stderr) == (0, "", "")
    assert "31.5 ± 0.7" in (tmp_path / "table.md").read_text()
    (tmp_path / "bad").mkdir()
    found = call(good[0], tmp_path / "bad", good[0])
    assert found.returncode == 3 and "MAE" in found.stdout and "Note" not in found.stdout
    assert len(found.stderr.splitlines()) == 1 and str(tmp_path / "bad") in found.stderr


def test_command_with_nothing_to_tabulate(tmp_path):
    for args in ((), (tmp_path,)):
        found = call(*args)
        assert found.returncode == 2 and found.stdout == "" and len(found.stderr.splitlines()) == 1


def test_what_the_uncertainty_is_worth(tmp_path):
    """With --uncertainty, the table has the figures of uncertainty.json."""
    workdirs = [
        fake_runs.workdir(tmp_path / f"{m}{s}", m, s) for m, s in (("ours", 0), ("ours", 1), ("no_adapt", 0))
    ]
    path = workdirs[1] / "uncertainty.json"
    found = json.loads(path.read_text())
    found["images"]["spearman"], found["blocks"]["ause"] = 0.6, None
    path.write_text(json.dumps(found))
    done = call(*workdirs, "--uncertainty", "--format=csv")
    assert done.returncode == 0, done.stderr
    no_adapt, ours = csv.DictReader(io.StringIO(done.stdout))
    assert float(ours["images_spearman"]) == pytest.approx(0.5) and ours["n"] == "2"
    assert float(ours["images_spearman_std"]) == pytest.approx(0.02**0.5)
    assert float(ours["images_coverage_90"]) == 0.6 and float(ours["blocks_width_90"]) == 30
    assert float(ours["blocks_ause"]) == 0.2 and ours["blocks_ause_std"] == "" and "mae" not in ours
    text = call(*workdirs, "--uncertainty").stdout
    assert "image Spearman" in text and "0.50 ± 0.14" in text and "60 ± 0 %" in text and "MAE" not in text
    path.unlink()
    missing = call(*workdirs, "--uncertainty")
    assert missing.returncode == 3 and "uncertainty.json: no such file" in missing.stderr
    assert call(*workdirs, "--uncertainty", "--published").returncode == 2
