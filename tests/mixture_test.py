"""Mixtures of datasets: sampling by weight, distinct ids, and elements that depend on seed and index alone."""

import collections

import numpy as np
import pytest
from frames_of import Records, record_of

from cc_jax.data import pipeline
from cc_jax.data.density import Density
from cc_jax.data.examples import Examples
from cc_jax.data.mixture import Mixture
from cc_jax.data.transforms import Augment
from cc_jax.errors import ConfigError

PLAIN = Augment(crop=64, flip=False)


def examples_of(name, colour, count):
    """Return a dataset of images of one color."""
    records = [record_of(np.full((64, 64, 3), colour, np.uint8), id=f"{i}") for i in range(count)]
    return Examples(Records(records, name))


def mixture():
    return Mixture([examples_of("a", 10, 3), examples_of("b", 200, 50)], [3.0, 1.0])


def crops(pseudo=None, seed=0):
    return pipeline.train_dataset(mixture(), augment=PLAIN, density=Density(), seed=seed, pseudo=pseudo)


def test_examples_follow_each_other_and_have_distinct_ids():
    both = mixture()
    assert len(both) == 53 and both.sizes == [(64, 64)] * 53
    ids = [both[i]["id"] for i in range(53)]
    assert ids[0] == "a train:0" and ids[3] == "b train:0" and len(set(ids)) == 53
    with pytest.raises(IndexError):
        both[53]


def test_the_small_set_is_drawn_from_three_times_as_often():
    dataset = crops()
    colours = collections.Counter(int(dataset[j]["image"][0, 0, 0]) for j in range(400))
    assert colours == {10: 300, 200: 100}


def test_an_element_is_a_function_of_seed_and_number():
    first, again, other = crops(), crops(), crops(seed=1)
    numbers = list(range(60))
    colours = [[int(d[j]["image"][0, 0, 0]) for j in numbers] for d in (first, other)]
    assert [int(again[j]["image"][0, 0, 0]) for j in reversed(numbers)][::-1] == colours[0]
    assert colours[0].count(10) == colours[1].count(10) == 45


def test_pseudo_labels_choose_within_each_set():
    label = np.full((8, 8), 0.5, np.float32), np.ones((8, 8), np.float32)
    dataset = crops(pseudo={"b train:7": label})
    assert {int(dataset[j]["image"][0, 0, 0]) for j in range(20)} == {200}
    assert dataset[3]["density"].sum() == pytest.approx(32)
    with pytest.raises(ConfigError, match="no image has a pseudo label"):
        crops(pseudo={"7": label})
