"""The counter that is installed with the package: it is there, it is small, its card is its own, and it counts."""

import numpy as np
import pytest
from kept_scenes import drawn

from cc_jax.counting.counter import Counter
from cc_jax.data.scenes import clutter, photographs
from cc_jax.workdir import packed

pytestmark = pytest.mark.usefixtures("optimized_programs")


@pytest.fixture(scope="module")
def counter():
    return Counter.load()


def test_it_is_at_most_8_megabytes_and_has_a_card():
    sizes = {path.name: path.stat().st_size for path in packed.SHIPPED.iterdir()}
    assert set(sizes) == {"counter.safetensors", "config.json", "card.md", "domains.npz", "not_here.npz"}
    assert sum(sizes.values()) < 8e6


def test_the_card_is_that_of_these_weights(counter):
    card = (packed.SHIPPED / "card.md").read_text()
    assert counter.weights_sha256 in card and f"{counter.step:,} steps" in card
    for source in (
        counter.config.source.dataset,
        *(name for name, *_ in counter.config.source.extra_datasets),
    ):
        assert f"`{source}`" in card


@pytest.mark.parametrize("level", [0, 128, 255])
def test_it_counts_nobody_in_a_plain_image(counter, level):
    assert counter.count(np.full((384, 512, 3), level, np.uint8)).count < 3


def test_it_counts_nobody_in_photographs_of_places_without_people(counter):
    """Brick, grass, halls and streets. Those of a wood and of a hall full of machines are known faults, see the card."""
    counts = [
        counter.count(photographs.read(name)).count
        for name in (
            "surface_brick",
            "surface_grass",
            "surface_gravel",
            "bpy_city",
            "pmndrs_esplanade",
            "pmndrs_park",
        )
    ]
    assert max(counts) < 3


def test_it_counts_crowds_and_what_only_looks_like_one(counter):
    """On scenes of a seed that no prepared set has. A counter that has learned nothing has a correlation near 0."""
    scenes = [scene for scene in drawn(14, 901) if len(scene.points)]
    true = np.array([len(scene.points) for scene in scenes])
    found = [counter.count(scene.image) for scene in scenes]
    counts = np.array([one.count for one in found])
    assert np.corrcoef(true, counts)[0, 1] > 0.6 and 0.5 < counts.sum() / true.sum() < 1.6
    held = np.mean([one.low <= number <= one.high for one, number in zip(found, true, strict=True)])
    assert {one.interval_kind for one in found} == {"domains"} and held > 0.75
    # Not because they are endless.
    assert np.median([(one.high + 1) / (one.low + 1) for one in found]) < 6
    empty = [counter.count(image).count for image in drawn(6, 901, render=clutter.render)]
    assert np.median(empty) < 5
