"""A counter restored from a workdir: padding, kinds of input, warnings, intervals, damaged workdirs."""

import json

import numpy as np
import pytest

from cc_jax import Counter, build
from cc_jax.data import images
from cc_jax.distributed import mesh
from cc_jax.errors import CheckpointError, ConfigError, InputError
from cc_jax.evaluation.intervals import estimate_counts
from cc_jax.workdir.checkpoints import Checkpoints
from cc_jax.workdir.config import write_config
from configs import demo


def make_workdir(folder, **changes):
    """Write a workdir as training does, with an untrained network."""
    config = demo.get_config()
    config.update(changes)
    state = build.fresh_state(config, build.counting_network(config), mesh.make_mesh())
    checkpoints = Checkpoints(folder)
    checkpoints.save(5, state.checkpoint_items(), stage="stage1", counted=5)
    checkpoints.close()
    write_config(folder, config)
    return folder


@pytest.fixture(scope="module")
def workdir(tmp_path_factory):
    return make_workdir(tmp_path_factory.mktemp("work"))


@pytest.fixture(scope="module")
def counter(workdir):
    return Counter.load(workdir)


@pytest.fixture
def photo():
    return np.random.default_rng(0).integers(0, 255, (150, 203, 3)).astype(np.uint8)


def test_what_it_returns(counter, photo):
    found = counter.count(photo)
    assert found.low <= found.count <= found.high and found.std > 0
    assert found.density.shape == found.uncertainty.shape == (19, 26)
    assert found.count == pytest.approx(float(found.density.sum()), rel=1e-4)
    assert (counter.step, counter.stage) == (5, "stage1")


def test_the_padding_does_not_count(counter, photo):
    coarse = counter.count(photo)
    counter.plan([photo.shape[:2], (160, 208)])
    planned = counter.count(photo)
    counter.plan([])
    assert planned.count == pytest.approx(coarse.count, rel=1e-4)
    np.testing.assert_allclose(planned.density, coarse.density, rtol=1e-3, atol=1e-6)


def test_a_file_its_bytes_and_its_pixels_count_alike(counter, photo, tmp_path):
    images.write_image(tmp_path / "a.png", photo)
    expected = counter.count(photo).count
    assert counter.count(tmp_path / "a.png").count == expected
    assert counter.count((tmp_path / "a.png").read_bytes()).count == expected


def test_warnings(counter, photo):
    (disagree,) = counter.count(photo).warnings  # an untrained network's samples
    assert disagree.endswith("% of the count lies where the samples disagree (hatched in the overlay)")
    grey = np.repeat(photo[..., :1], 3, axis=2)
    assert any("grey" in line for line in counter.count(grey).warnings)
    assert any("uniform" in line for line in counter.count(np.full_like(photo, 90)).warnings)


def test_a_large_image_is_shrunk_and_says_so(tmp_path, photo):
    counter = Counter.load(make_workdir(tmp_path, resize={"min_side": 0, "max_side": 96}))
    found = counter.count(photo)
    assert any("203x150" in line and "96x71" in line for line in found.warnings)
    assert found.density.shape == (9, 12)


def test_no_image(counter, tmp_path):
    (tmp_path / "a.jpg").write_bytes(b"<html>")
    with pytest.raises(InputError, match="a.jpg"):
        counter.count(tmp_path / "a.jpg")


def test_no_workdir(tmp_path):
    with pytest.raises(CheckpointError, match="no config.json"):
        Counter.load(tmp_path)


def test_a_config_of_another_model_does_not_fit(tmp_path):
    make_workdir(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    config["uncertainty"]["masksembles"]["members"] = 4
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(CheckpointError, match="does not fit"):
        Counter.load(tmp_path)


def test_an_unknown_model_names_its_siblings(tmp_path):
    config = demo.get_config()
    config.model.name = "tinny"
    with pytest.raises(ConfigError, match="did you mean 'tiny'"):
        build.counting_network(config)


def test_interval_of_known_samples():
    # Student's t with 2 degrees of freedom: 2.920 at 90 %; std of (9, 10, 11) is 1.
    count, std, low, high = estimate_counts(np.array([9.0, 10.0, 11.0]), 0.9)
    half = 2.91999 * (4 / 3) ** 0.5
    assert (count, std) == (10.0, 1.0)
    assert (low, high) == pytest.approx((10 - half, 10 + half), rel=1e-4)
    assert estimate_counts(np.array([7.0]), 0.9) == (7.0, 0.0, 7.0, 7.0)
    assert estimate_counts(np.array([0.0, 1.0]), 0.9)[2] == 0.0


def test_cells_with_too_little_count_as_empty(workdir, counter, photo):
    """The limit holds for the mean over the samples: a cell is kept or emptied in all of them."""
    usual = counter.count(photo)
    limit = float(np.median(usual.density))
    path = workdir / "config.json"
    before = path.read_text()
    fields = json.loads(before)
    fields["evaluation"]["empty_below"] = limit
    path.write_text(json.dumps(fields))
    found = Counter.load(workdir).count(photo)
    fields["evaluation"]["empty_below"] = -1.0
    path.write_text(json.dumps(fields))
    with pytest.raises(ConfigError, match="evaluation.empty_below=-1.0"):
        Counter.load(workdir)
    path.write_text(before)
    kept = usual.density >= limit
    assert 0.4 < kept.mean() < 0.6
    np.testing.assert_allclose(found.density, np.where(kept, usual.density, 0), rtol=1e-5)
    np.testing.assert_allclose(found.uncertainty, np.where(kept, usual.uncertainty, 0), rtol=1e-4)
    assert found.count == pytest.approx(float(usual.density[kept].sum()), rel=1e-4)


def test_interval_covers_one_more_draw():
    """With normal samples, the interval contains a further draw as often as its level says."""
    draws = np.random.default_rng(0).normal(100, 5, (4000, 4))
    hits = [low <= d[3] <= high for d in draws for _, _, low, high in [estimate_counts(d[:3], 0.9)]]
    assert np.mean(hits) == pytest.approx(0.9, abs=0.02)


@pytest.mark.slow
def test_a_large_image_at_its_own_size_in_little_memory(workdir, counter):
    """Images are shrunk to the 1536 pixels of training unless `max_side` says otherwise. Tiles give the same count."""
    photo = np.random.default_rng(0).integers(0, 255, (1000, 1700, 3)).astype(np.uint8)
    usual = counter.count(photo)
    whole = Counter.load(workdir, max_side=0).count(photo)
    tiled = Counter.load(workdir, max_side=0, memory_gib=0.02).count(photo)
    assert usual.density.shape == (113, 192) and whole.density.shape == tiled.density.shape == (125, 213)
    assert tiled.count == pytest.approx(whole.count, rel=1e-5) and tiled.std == pytest.approx(
        whole.std, rel=1e-3
    )
    assert any("resized" in one for one in usual.warnings)
    assert any("in training it would have been resized to 1536x904" in one for one in whole.warnings)
    for wrong in ({"max_side": -1}, {"memory_gib": 0.0}):
        with pytest.raises(ConfigError, match=next(iter(wrong))):
            Counter.load(workdir, **wrong)
