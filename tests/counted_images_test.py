"""Errors at the level that a few counted images set: against a loop, against known levels, and only on other images."""

import itertools

import numpy as np
import pytest
from frames_of import Records, record_of

from cc_jax.data import preparation, sources
from cc_jax.data.examples import Examples, base_splits
from cc_jax.evaluation import camera_level, counted_images
from configs import demo

RNG = np.random.default_rng(0)
TRUE = RNG.integers(20, 200, 40).astype(float)


def test_without_a_count_the_error_is_the_plain_one():
    found = counted_images.errors_by_number(TRUE, 1.5 * TRUE, TRUE[:3], TRUE[:3])
    assert found["0"]["mean"] == pytest.approx((0.5 * TRUE).mean()) and found["0"]["std"] < 1e-9
    assert found["0"]["low"] == found["0"]["high"] == pytest.approx(found["0"]["mean"])


def test_counts_mend_a_wrong_level_and_more_of_them_mend_it_better():
    count = 0.6 * TRUE
    found = counted_images.errors_by_number(TRUE, count, TRUE, count)
    assert list(found) == list(map(str, counted_images.NUMBERS))
    means = [one["mean"] for one in found.values()]
    assert means == sorted(means, reverse=True) and means[0] > 40 and means[-1] < 4


def test_each_draw_is_judged_at_its_own_level():
    """All pairs of four counted images, one by one."""
    true, count = TRUE, TRUE * RNG.uniform(0.5, 1.2, len(TRUE))
    few = slice(0, 4)
    errors = []
    for pair in itertools.combinations(range(4), 2):
        factor = camera_level.factor(camera_level.log_ratios(true[few][list(pair)], count[few][list(pair)]))
        errors.append(np.abs(factor * count - true).mean())
    found = counted_images.errors_by_number(true, count, true[few], count[few])
    assert list(found) == ["0", "1", "2", "3"]
    # Six pairs, drawn 200 times: the standard error of the mean is a fourteenth of the spread.
    assert found["2"]["mean"] == pytest.approx(np.mean(errors), abs=0.3 * np.std(errors))
    assert found["2"]["std"] == pytest.approx(np.std(errors), rel=0.25)
    assert min(errors) <= found["2"]["low"] <= found["2"]["high"] <= max(errors)
    assert found == counted_images.errors_by_number(true, count, true[few], count[few])


def test_the_counted_images_are_of_the_training_split(tmp_path):
    folder = tmp_path / "raw"
    for split, number in (("train", 7), ("test", 2)):
        (folder / split).mkdir(parents=True)
        for i in range(number):
            (folder / split / f"{i}.jpg").write_bytes(record_of(np.zeros((16, 16, 3), np.uint8), [])["image"])
    (folder / "labels.csv").write_text("image,x,y\n" + "".join(f"train/{i}.jpg,3,3\n" for i in range(7)))
    preparation.prepare("folder/station", folder, tmp_path / "data")
    config = demo.get_config()
    config.evaluation.counted_images = 4
    tested = Examples(sources.open_source("folder/station", "test", tmp_path / "data"))
    counted = counted_images.open_counted(config, tested)
    train = sources.open_source("folder/station", "train", tmp_path / "data")
    assert [one["id"] for one in counted] == [train[i]["id"] for i in (0, 2, 4, 6)]
    assert counted.sizes == [(16, 16)] * 4 and all(len(one["points"]) == 1 for one in counted)
    config.evaluation.counted_images = 0
    assert counted_images.open_counted(config, tested) is None


def test_an_image_that_is_tested_is_not_counted():
    a, b = (Examples(Records([], split=split)) for split in ("train", "train[:60]"))
    other = Examples(Records([], split="test"))
    assert counted_images.not_tested(a, b, ["1", "2"], ["2", "3"]).tolist() == [True, False]
    assert counted_images.not_tested(a, other, ["1", "2"], ["2", "3"]).tolist() == [True, True]


def test_the_names_in_a_split():
    assert base_splits("train") == base_splits("train[:60]") == base_splits("train[60:80%]") == {"train"}
    assert base_splits("train[:5]+test") == {"train", "test"}
