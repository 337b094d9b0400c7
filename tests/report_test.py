"""The report: a page that loads nothing, shows what the workdirs contain, and names what they lack."""

import base64
import dataclasses
import html.parser
import re
import shutil
from xml.etree import ElementTree

import cv2
import fake_runs
import matplotlib
import numpy as np
import pytest
from fake_runs import row
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from cc_jax import registry
from cc_jax.report import overlays, page, plots, runs
from cc_jax.report.sections import lead

VOID = {"meta", "img", "br", "link", "hr"}


class Reader(html.parser.HTMLParser):
    """Checks that tags are balanced and keeps the attributes."""

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.words = [], [], []
        self.feed(text)
        assert self.open == [], f"left open: {self.open}"

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open and self.open[-1] == tag, f"</{tag}> closes {self.open[-1:]}"
        self.open.pop()

    def handle_data(self, data):
        self.words.append(data)

    def of(self, tag):
        return [attrs for name, attrs in self.tags if name == tag]


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    """Three methods, two seeds of OURS."""
    root = tmp_path_factory.mktemp("demo")
    wanted = (("no_adapt", 0), ("ours", 1), ("ours", 0), ("supervised", 0))
    return [page.read_run(fake_runs.workdir(root / f"{m}-seed{s}", m, s)) for m, s in wanted]


@pytest.fixture(scope="module")
def demo_page(demo):
    return page.render_page(demo, "The <demo>")


def test_page_loads_nothing_from_elsewhere(demo_page, demo, tmp_path):
    page.write_report(tmp_path / "report.html", demo, "The <demo>")
    assert (tmp_path / "report.html").read_text() == demo_page
    read = Reader(demo_page)
    sources = [attrs["src"] for attrs in read.of("img")]
    assert sources and all(
        source.startswith(("data:image/svg+xml;base64,", "data:image/jpeg;base64,")) for source in sources
    )
    assert not {tag for tag, _ in read.tags} & {"script", "link", "iframe", "object", "a"}
    assert "http:" not in demo_page and "https:" not in demo_page and "url(" not in demo_page


def test_page_is_accessible(demo_page):
    read = Reader(demo_page)
    assert read.of("html") == [{"lang": "en"}]
    assert all(attrs.get("alt") for attrs in read.of("img"))
    assert all(attrs.get("scope") for attrs in read.of("th"))
    assert len(read.of("h1")) == len(read.of("main")) == 1
    assert any("width=device-width" in attrs.get("content", "") for attrs in read.of("meta"))


def test_pictures_can_be_decoded(demo_page):
    data = [attrs["src"].partition(",")[::2] for attrs in Reader(demo_page).of("img")]
    jpegs = [base64.b64decode(code) for kind, code in data if "jpeg" in kind]
    svgs = [base64.b64decode(code) for kind, code in data if "svg" in kind]
    assert len(jpegs) == 3 * 3 * 4  # one run for each method, three images, four pictures
    assert all(
        cv2.imdecode(np.frombuffer(j, np.uint8), cv2.IMREAD_COLOR).shape == (160, 216, 3) for j in jpegs
    )
    # Bars, a scatter and curves for each method, counted images and the uncertainty of one of them.
    assert len(svgs) == 1 + 3 + 2 + 3
    assert all(ElementTree.fromstring(s).tag == "{http://www.w3.org/2000/svg}svg" for s in svgs)


def test_page_says_the_results(demo_page, demo):
    words = " ".join(" ".join(Reader(demo_page).words).split())
    ours, before = [
        np.mean([r.row["mae"] for r in demo if r.row["method"] == m]) for m in ("ours", "no_adapt")
    ]
    assert (
        f"off by {ours:.1f} people per image, {1 - ours / before:.0%} less than without adaptation ({before:.1f})"
        in words
    )
    assert "The <demo>" in words
    run = next(r for r in demo if r.row["method"] == "ours" and r.row["seed"] == 0)
    for panel in run.panels:
        (p,) = [p for p in run.predictions if p.id == panel.id]
        assert f"true {p.true:.0f}" in words and f"estimated {p.count:.0f} Estimated density" in words
    assert "missing" not in words


@pytest.mark.parametrize("kind", ["counts", "domains"])
def test_an_interval_that_promises_something_stands_beside_the_count(kind, tmp_path):
    run = page.read_run(fake_runs.workdir(tmp_path / "run", "ours", 0, interval_kind=kind))
    words = " ".join(" ".join(Reader(page.render_page([run], "One")).words).split())
    for panel in run.panels:
        (p,) = [p for p in run.predictions if p.id == panel.id]
        assert f"estimated {p.count:.0f} ({p.low:.0f}–{p.high:.0f}) Estimated density" in words


TOY = """
from cc_jax.{folder} import base


class {kind}(base.{kind}):
    display_name = "Toy <{kind}>"
    summary = "Counts & wobbles like a {kind} in a test."
    headline = "Counted by a toy"
    table_position = 95
"""


@pytest.fixture
def toys(tmp_path, monkeypatch):
    """Runs of a method and an uncertainty that are files outside of the package."""
    for folder, kind in (("methods", "Method"), ("uncertainty", "Uncertainty")):
        (tmp_path / "plugins" / folder).mkdir(parents=True)
        text = TOY.format(folder=folder, kind=kind)
        (tmp_path / "plugins" / folder / "toy.py").write_text(text)
    monkeypatch.setenv("CC_JAX_PLUGINS", str(tmp_path / "plugins"))
    return [
        page.read_run(fake_runs.workdir(tmp_path / method, method, uncertainty="toy", mae=mae))
        for method, mae in (("toy", 22.0), ("supervised", 20.0), ("no_adapt", 44.0))
    ]


def test_a_toy_method_and_uncertainty_are_reported_under_their_own_names(toys):
    text = page.render_page(toys, "x")
    words = " ".join(" ".join(Reader(text).words).split())
    assert "Counted by a toy, the counter is off by 22.0 people per image, 50% less than without" in words
    for kind in ("Method", "Uncertainty"):
        assert f"Toy <{kind}> Counts & wobbles like a {kind} in a test." in words
    assert words.count("Toy <Method>, seed 0") >= 3  # its plots and images
    # The toy stands between No Adapt and Supervised, and is the run that is open.
    assert words.index("No Adapt") < words.index("Toy <Method>") < words.index("Supervised 20")
    assert page.main_run(page.one_run_per_method(toys)).row["method"] == "toy"


def test_headline_does_not_flatter():
    worse = [row("ours", mae=50.0), row("no_adapt", mae=40.0)]
    assert "25% more than without adaptation" in lead.headline(worse)
    assert "no less than" in lead.headline([row("ours", mae=40.0), row("no_adapt", mae=40.0)])
    assert (
        lead.headline([row("no_adapt", mae=40.0)])
        == "Without adaptation, the counter is off by 40.0 people per image."
    )


def test_what_is_no_better_than_a_constant_is_said(tmp_path):
    bad = page.read_run(fake_runs.workdir(tmp_path / "bad", "no_adapt", mae=70.0, mae_constant=60.0))
    assert "No Adapt is no better than that." in page.render_page([bad], "x")
    good = page.read_run(fake_runs.workdir(tmp_path / "good", "no_adapt", mae=50.0, mae_constant=60.0))
    assert "no better than that" not in page.render_page([good], "x")


def test_unfair_rows_are_said(tmp_path):
    found = [
        page.read_run(fake_runs.workdir(tmp_path / m, m, step=s))
        for m, s in (("ours", 900), ("no_adapt", 600))
    ]
    assert "trains longer" in page.render_page(found, "x")


def test_one_answer_alone_is_not_explained_as_several(tmp_path):
    several = page.read_run(fake_runs.workdir(tmp_path / "several"))
    text = page.render_page([several], "x")
    about = registry.about("uncertainty", "masksembles")
    assert "several estimates" in text and html.escape(about.summary) in text
    one = page.read_run(fake_runs.workdir(tmp_path / "one", uncertainty="single"))
    assert "several estimates" not in page.render_page([one], "x")


def test_without_labels(tmp_path):
    run = page.read_run(fake_runs.workdir(tmp_path / "photos", labelled=False))
    assert [p.true for p in run.panels] == [None] * 3 and run.predictions[0].true is None
    text = page.render_page([run], "My photographs")
    assert "True density" not in text and "24 images counted" in text and "Estimated density" in text
    assert text.count("data:image/jpeg") == 9


PIECES = ("results.json", "log.jsonl", "predictions.csv", "panels", "config.json")


@pytest.mark.parametrize("name", PIECES)
def test_a_missing_piece_is_left_out_and_said(tmp_path, name):
    folder = fake_runs.workdir(tmp_path / "run")
    path = folder / name
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    run = page.read_run(folder)
    assert len(run.missing) == 1 and name in run.missing[0]
    text = page.render_page([run], "x")
    Reader(text)
    assert "What is missing on this page" in text and html.escape(run.missing[0]) in text


@pytest.mark.parametrize("name", PIECES)
def test_a_damaged_piece_is_left_out_and_said(tmp_path, name):
    folder = fake_runs.workdir(tmp_path / "run")
    path = folder / name
    path = min(path.glob("*")) if path.is_dir() else path
    path.write_bytes(path.read_bytes()[:40] + b"\n,,")
    run = page.read_run(folder)
    assert len(run.missing) == 1 and name in run.missing[0]
    Reader(page.render_page([run], "x"))


def test_nothing_at_all(tmp_path):
    assert "no results yet" in page.render_page([page.read_run(tmp_path)], "x")
    assert "There are no runs" in page.render_page([], "x")


def test_names_cannot_break_the_page(tmp_path):
    folder = fake_runs.workdir(tmp_path / "run", source='<script>"&', target="<b>")
    Reader(page.render_page([page.read_run(folder)], "</title><script>"))


def test_log_of_a_resumed_run(tmp_path):
    """Rows that a resumed run writes again count once; an incomplete last line is dropped."""
    (tmp_path / "log.jsonl").write_text(
        '{"step": 10, "stage": "a", "loss": 3.0}\n{"step": 20, "stage": "a", "loss": 2.0}\n'
        '{"step": 20, "stage": "a", "loss": 2.5}\n{"step": 30, "stage": "b", "lo'
    )
    log = runs.read_log(tmp_path / "log.jsonl")
    assert [(r["step"], r["loss"]) for r in log] == [(10, 3.0), (20, 2.5)]


def test_stages_follow_each_other():
    log = [{"step": s, "stage": "one" if s <= 30 else "two"} for s in range(10, 61, 10)]
    assert plots.stages(log) == [("one", 0, 30), ("two", 30, 60)]


@pytest.fixture
def drawn(monkeypatch):
    """The figures of matplotlib that the plots draw, so that their contents can be checked."""
    figures = []
    monkeypatch.setattr(plots, "_svg", lambda figure: figures.append(figure) or b"")
    return figures


def lines_of(axes):
    """The points [n, 2] of each line."""
    return [line.get_xydata() for line in axes.lines]


def test_curves_skip_what_is_no_number_and_are_thinned(drawn):
    assert plots.curves([]) is None
    assert plots.curves([{"step": 1, "stage": "a", "steps_per_s": 3.0}]) is None
    loss = [float("nan") if step == 2 else 1.0 / step for step in range(1, 2000)]
    log = [{"step": i, "stage": "a", "loss": one, "note": "x"} for i, one in enumerate(loss, 1)]
    plots.curves(log)
    (axes,) = drawn[-1].axes
    (curve,) = lines_of(axes)
    assert len(curve) == 400 and np.isfinite(curve).all()
    assert curve[:, 0].mean() == pytest.approx(np.mean([*range(1, 2), *range(3, 2000)]), rel=1e-3)
    assert axes.get_yscale() == "log" and axes.get_title(loc="left") == "loss"


def test_curves_have_a_panel_each_and_a_line_a_stage(drawn, demo):
    log = next(run.log for run in demo if run.row["method"] == "ours")
    plots.curves(log)
    axes = [one for one in drawn[-1].axes if one.get_visible()]
    titles = [one.get_title(loc="left") for one in axes]
    assert titles[0] == "loss" and set(titles) == {
        "loss", "density loss", "upside-down loss", "upside-down accuracy", "pseudo loss",
    }  # fmt: skip
    for one in axes:
        shown = np.concatenate(lines_of(one))
        name = one.get_title(loc="left").replace("-", "_").replace(" ", "_")
        np.testing.assert_allclose(shown, [(r["step"], r[name]) for r in log if name in r])


@pytest.mark.parametrize("values", [[0.0], [0.0, 0.0], [1e6], [3.0, 0.5, 1e6]])
def test_plots_of_extreme_counts_show_every_image(drawn, values):
    plots.counts(values, values, values, values, level=None)
    (axes,) = drawn[-1].axes
    dots = [line.get_xydata() for line in axes.lines if line.get_marker() == "o"]
    np.testing.assert_array_equal(np.concatenate(dots), np.stack([values, values], 1))
    assert axes.get_xlim() == axes.get_ylim() and axes.get_xlim()[1] > max(values)
    plots.sorted_counts(values, values, values)
    (axes,) = drawn[-1].axes
    (dots,) = lines_of(axes)
    np.testing.assert_array_equal(dots[:, 1], sorted(values))


def test_bars_are_as_long_as_the_mean_error(drawn):
    plots.method_errors(["a", "b"], [[40.0, 50.0], [30.0]], 60.0, "b")
    (axes,) = drawn[-1].axes
    assert [bar.get_width() for bar in axes.patches] == [45.0, 30.0]
    assert [matplotlib.colors.to_hex(bar.get_facecolor()) for bar in axes.patches] == [
        plots.OTHER,
        plots.ACCENT,
    ]
    seeds, constant = lines_of(axes)
    assert seeds[:, 0].tolist() == [40, 50] and constant[:, 0].tolist() == [60, 60]
    assert axes.get_xlim()[1] > 60 and [t.get_text() for t in axes.get_yticklabels()] == ["a", "b"]


def test_reliability_leaves_out_curves_without_an_uncertainty(drawn, demo):
    blocks = demo[1].reliability["blocks"]
    flat = {**blocks, **dict.fromkeys(("spearman", "ause", "nll", "sparsification"))}
    plots.reliability({"images": flat, "blocks": blocks})
    left, right = drawn[-1].axes
    sparsification, oracle, _ = lines_of(left)
    np.testing.assert_allclose(sparsification[:, 1], blocks["sparsification"])
    np.testing.assert_allclose(oracle[:, 1], blocks["oracle"])
    for coverage in lines_of(right)[:2]:
        np.testing.assert_allclose(coverage, 100 * np.array([blocks["levels"], blocks["coverage"]]).T)


def test_plots_are_the_same_bytes_each_time_and_leave_matplotlib_alone():
    before = dict(matplotlib.rcParams)
    draw = lambda: plots.counts([1, 5], [2, 4], [1, 3], [3, 4.5], level=0.9)  # noqa: E731
    assert draw() == draw()
    assert dict(matplotlib.rcParams) == before


def test_scatter_counts_who_lies_inside():
    """The numbers of the legend, which are text here instead of paths."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(plots.STYLE, "svg.fonttype", "none")
        svg = plots.counts(
            [10, 20, 30], [11, 25, 30], [9, 22, 30], [12, 28, 30], level=0.9, kind="counts"
        ).decode()
    assert re.search(r"truth within its 90% interval, counts \(2\)", svg) and "outside (1)" in svg


maps = hnp.arrays(
    np.float32, hnp.array_shapes(min_dims=2, max_dims=2, max_side=9), elements=st.floats(0, 5, width=32)
)


@given(maps, st.integers(1, 80), st.integers(1, 80))
def test_heat_has_the_size_asked_for(values, height, width):
    picture = overlays.heat(values, (height, width), overlays.brightest(values))
    assert picture.shape == (height, width, 3) and picture.dtype == np.uint8


def test_heat_is_monotonic_and_in_place():
    """The brightest spot of the picture is where the crowd is."""
    density = np.zeros((10, 15), np.float32)
    density[2, 11] = 1.0
    light = overlays.heat(density, (80, 120), 1.0).astype(int).sum(2)
    y, x = np.unravel_index(light.argmax(), light.shape)
    assert 16 <= y < 24 and 88 <= x < 96
    for anchors in (overlays.DENSITY, overlays.UNCERTAINTY):
        lightness = overlays.color_map(anchors).astype(float) @ (0.299, 0.587, 0.114)
        assert (np.diff(lightness) > -1).all() and lightness[-1] > lightness[0] + 150


def test_colour_maps_are_told_apart():
    density, uncertainty = (
        overlays.color_map(a).astype(int) for a in (overlays.DENSITY, overlays.UNCERTAINTY)
    )
    assert np.abs(density - uncertainty).max(1)[40:].min() > 40


@pytest.mark.parametrize("shape", [(8, 8), (40, 300), (700, 60), (480, 640)])
@pytest.mark.parametrize("background", [0, 255])
def test_label_is_legible_on_any_image(shape, background):
    image = np.full((*shape, 3), background, np.uint8)
    marked = overlays.label(image, "398 (350-446)")
    assert marked.shape == image.shape and (image == background).all()
    box = marked[: shape[0] // 3, : shape[1] // 2]
    if min(shape) >= 40:  # smaller letters cannot be read
        assert box.min() < 30 and box.max() > 220
    assert (marked[-1, -1] == background).all() or min(shape) < 40


def test_overlay_shows_the_crowd():
    image = np.full((80, 120, 3), 128, np.uint8)
    density = np.zeros((10, 15), np.float32)
    density[7, 12] = 2.0
    shown = overlays.overlay(image, density, "2 (1-3)").astype(int)
    crowd, empty = shown[60, 100], shown[70, 20]
    assert np.abs(crowd - empty).max() > 80 and np.ptp(empty) < 3


def test_overlay_of_real_images(real_data):
    """Photographs in grey and color, with a density whose size is not 1/8 of theirs, as `predict` meets them."""
    from cc_jax.data import images

    folder = real_data / "shanghaitech" / "part_A" / "test_data" / "images"
    for path in images.list_images(folder)[:2]:
        image = images.read_image(path)
        assert overlays.overlay(image, np.ones((30, 40), np.float32), "1200 (1000-1400)").shape == image.shape


def test_an_uncertainty_is_shown_for_what_it_is_worth(demo, demo_page, tmp_path):
    assert "Does it know where it is wrong?" in demo_page
    assert "Rank correlation of uncertainty and error: images 0.40, blocks 0.40" in demo_page
    without = dataclasses.replace(demo[1], reliability={})
    none = dict.fromkeys(("spearman", "ause", "nll", "sparsification"))
    flat = {name: {**one, **none} for name, one in demo[1].reliability.items()}
    for run in (without, dataclasses.replace(demo[1], reliability=flat)):
        assert "Does it know" not in page.render_page([run], "title")


def test_what_is_not_trusted_is_hatched_and_nothing_else_is():
    image = np.full((120, 160, 3), 90, np.uint8)
    where = np.zeros((15, 20), bool)
    where[:8, :8] = True
    density = np.full((15, 20), 0.1, np.float32)
    plain, marked = (overlays.overlay(image, density, "9", w).astype(int) for w in (None, where))
    changed = (plain != marked).any(2)
    assert 0.08 < changed[20:60, 30:60].mean() < 0.5 and not changed[:, 68:].any() and not changed[68:].any()
    np.testing.assert_array_equal(plain, overlays.overlay(image, density, "9", np.zeros_like(where)))
