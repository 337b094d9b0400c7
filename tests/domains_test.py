"""Intervals from errors on other domains: against a definition, and against simulated places."""

import math

import numpy as np
import pytest

from cc_jax.errors import CheckpointError, ConfigError, InputError
from cc_jax.evaluation import domains

RNG = np.random.default_rng(0)


NEAR = domains.Near(np.zeros(2, np.float32), np.eye(2, dtype=np.float32))
HERE = np.ones(2, np.float32)  # the embedding of an image at the distance 1 of those of the training


def errors_of(*groups):
    """Scores of each domain."""
    domain = np.repeat(np.arange(len(groups)), [len(group) for group in groups])
    return domains.DomainErrors(np.concatenate(groups), domain, NEAR, ("a set",))


def test_every_domain_weighs_the_same():
    """Nine domains at 80 %: eight tenths of ten domains, one of which is the new one. Copies of images change nothing."""
    groups = [np.array([float(k)]) for k in range(1, 10)]
    assert errors_of(*groups).quantile(0.8) == 8
    assert errors_of(*[np.repeat(group, 1 + k) for k, group in enumerate(groups)]).quantile(0.8) == 8
    assert errors_of(*groups).quantile(0.9) == 9 and errors_of(*groups).quantile(0.91) == math.inf


def test_one_image_a_domain_is_split_conformal():
    scores = RNG.random(30)
    found = errors_of(*scores[:, None])
    for level in (0.5, 0.8, 0.9, 0.95):
        assert found.quantile(level) == np.sort(scores)[math.ceil(31 * level - 1e-9) - 1]


@pytest.mark.parametrize("level, number", [(0.5, 1), (0.8, 4), (0.9, 9), (0.95, 19)])
def test_the_fewest_domains_give_a_bounded_interval(level, number):
    assert domains.fewest(level) == number
    _, high = errors_of(*[np.ones(3)] * number).at(HERE).interval(50.0, 0.0, level)
    assert np.isfinite(high)
    if number > 1:
        low, high = errors_of(*[np.ones(3)] * (number - 1)).at(HERE).interval(50.0, 0.0, level)
        assert low == 0 and high == math.inf


def test_the_interval_is_a_ratio_and_wider_for_few_people_and_far_images():
    found = errors_of(*[np.full(2, math.log(2))] * 9)
    count = np.array([0.0, 5.0, 10_000.0])
    low, high = found.at(HERE).interval(count, 0 * count, 0.9)
    assert low[-1] == pytest.approx(5000, rel=0.01) and high[-1] == pytest.approx(20_000, rel=0.01)
    assert low[0] == 0 and high[0] > 10 and low[1] < 1 and high[1] > 15
    assert (low <= count).all() and (high >= count).all()
    # Twice as far: twice the logarithm.
    low, high = found.at(np.full(2, 2.0, np.float32)).interval(10_000.0, 0.0, 0.9)
    assert low == pytest.approx(2500, rel=0.01) and high == pytest.approx(40_000, rel=0.01)


def test_distances_are_those_of_mahalanobis():
    mix = RNG.normal(0, 1, (3, 3))
    images = RNG.normal(0, 1, (2000, 3)) @ mix + [1, 2, 3]
    near = domains.Near.of(images.astype(np.float32))
    far = RNG.normal(0, 1, (50, 3)).astype(np.float32)
    offsets = (far - images.mean(0)) / images.std(0)
    inverse = np.linalg.inv(np.corrcoef(images.T) + 0.1 * np.eye(3))  # shrunk, as for few images
    expected = np.sqrt(np.einsum("ni,ij,nj->n", offsets, inverse, offsets) / 3)
    np.testing.assert_allclose(near.distance(far), np.clip(expected, 0.5, 3), rtol=2e-3)
    assert (near.distance(images.astype(np.float32)) >= 0.5).all()
    # More channels than images.
    assert np.isfinite(domains.Near.of(RNG.normal(0, 1, (4, 9))).distance(np.ones(9))).all()


def counted(true, count, domain):
    return domains.CountedSet(true, count, np.tile(HERE, (len(true), 1)), domain)


def test_a_new_place_is_covered_as_promised():
    """Places miss by a factor of their own. Of 3,000 draws of 15 places and a new one, 90 % hold, and not many more."""
    held = []
    for _ in range(3000):
        places = RNG.normal(0, 0.4, 16)
        sizes = RNG.integers(1, 6, 16)
        place = np.repeat(np.arange(16), sizes)
        count = np.exp(RNG.uniform(1, 7, len(place)))
        ratio = places[place] + RNG.normal(0, 0.2, len(place))
        true = (count + 1) * np.exp(ratio * domains.scale(count, 1.0)) - 1
        known, new = place < 15, np.argmax(place == 15)
        found = domains.measure({"all": counted(true[known], count[known], place[known])}, NEAR)
        low, high = found.at(HERE).interval(count[new], 0.0, 0.9)
        held.append(low <= max(true[new], 0) <= high)
    # Standard error: half of a percent.
    assert 0.89 < np.mean(held) < 0.96


def test_sets_are_told_apart_and_bad_numbers_are_named():
    counts = np.array([10.0, 20.0, 30.0])
    a, b = counted(counts, counts, np.array([0, 5, 5])), counted(counts, 2 * counts, np.zeros(3, int))
    found = domains.measure({"a": a, "b": b}, NEAR)
    assert found.domain.tolist() == [0, 1, 1, 2, 2, 2] and found.number == 3 and found.on == ("a", "b")
    assert (found.scores[:3] == 0).all() and (found.scores[3:] > 0.3).all()
    with pytest.raises(InputError, match="b: a count is not a finite"):
        domains.measure({"b": counted(counts, counts * np.nan, np.zeros(3, int))}, NEAR)
    with pytest.raises(InputError, match="no labelled image"):
        domains.measure({}, NEAR)
    with pytest.raises(ConfigError, match="between 0 and 1"):
        found.quantile(1.0)


def test_a_set_is_judged_by_the_others_alone():
    """Ten kinds without an error cover a set without errors, and no image of one that is off by half; nor the reverse."""
    true = np.full(20, 100.0)
    kinds = np.arange(20) % 10
    sets = {"right": counted(true, true, kinds), "off": counted(true, true / 2, kinds)}
    found = domains.leave_each_out(sets, NEAR, 0.9)
    assert found["off"].coverage == 0 and found["off"].width == pytest.approx(0, abs=1e-6)
    assert found["right"].coverage == 1 and 2.0 < found["right"].ratio < 5 and found["right"].kinds == 10
    assert domains.leave_each_out({"right": sets["right"]}, NEAR, 0.9) == {}


def test_they_are_kept_with_the_weights(tmp_path):
    counts = np.exp(RNG.uniform(1, 7, 40))
    near = domains.Near.of(RNG.normal(0, 1, (30, 2)))
    found = domains.measure({"a": counted(1.5 * counts, counts, np.arange(40) % 10)}, near, "abc")
    assert domains.load(tmp_path, "abc") is None
    found.save(tmp_path)
    again = domains.load(tmp_path, "abc")
    assert (again.on, again.number) == (("a",), 10) and "10 other kinds of images (a)" in again.describe(0.9)
    for one in (HERE, 3 * HERE):
        ends = [np.ravel(x.at(one).interval(counts, 0 * counts, 0.9)) for x in (found, again)]
        np.testing.assert_allclose(*ends, rtol=1e-5)
    with pytest.raises(CheckpointError, match="other weights"):
        domains.load(tmp_path, "def")
    (tmp_path / "domains.npz").write_bytes(b"PK")
    with pytest.raises(CheckpointError, match="damaged"):
        domains.load(tmp_path, "abc")


def test_looks_find_images_that_are_alike():
    centers = RNG.normal(0, 10, (3, 8))
    kinds = RNG.integers(0, 3, 60)
    found = domains.looks(centers[kinds] + RNG.normal(0, 0.1, (60, 8)), 3)
    assert len(set(zip(kinds, found, strict=True))) == len(set(found)) == 3
    assert set(domains.looks(RNG.normal(0, 1, (2, 8)), 5)) == {0, 1}  # fewer images than kinds
