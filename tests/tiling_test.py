"""Tiles give the same counts as the whole image, for every network and every tileable uncertainty."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_methods import quick_jit
from small_networks import MODELS, built, count_in_tiles, network_of, picture, with_variables

from cc_jax.distributed import mesh
from cc_jax.errors import ConfigError
from cc_jax.inference import tiling
from cc_jax.uncertainty import base, single


class Mirrored(base.Uncertainty):
    """Two samples: the image as it is, and mirrored. Mirroring a tile differs from cutting a mirrored image."""

    def draw(self, model, variables, image, roi, rng, *, train):
        ways = [slice(None), slice(None, None, -1)]
        drawn = [
            single.Uncertainty().draw(model, variables, image[:, :, way], roi[:, :, way], rng, train=train)
            for way in ways
        ]
        mirrored_back = [one["density"][:, :, :, way] for one, way in zip(drawn, ways, strict=True)]
        return {**drawn[0], "density": jnp.concatenate(mirrored_back)}


@pytest.mark.parametrize("name", MODELS)
def test_a_cell_depends_on_nothing_beyond_reach(name):
    model, variables = built(name)
    side = 2 * model.reach + 64
    middle = side // 2 // 8
    image, roi = picture(side, side), np.ones((1, side, side, 1), np.uint8)

    @quick_jit
    def seen(image):
        features = model.apply(variables, image, roi, method="encode")
        unfinished = model.clone(apply_density_head=False)
        return unfinished.apply(variables, features, None, roi, method="decode")[0, middle, middle]

    before = np.asarray(seen(image))

    def moved(distance):
        """Return the change of the cell's features when all pixels change that are at least `distance` away from it."""
        changed = image.copy()
        begin = 8 * (middle + 1) + distance
        changed[:, begin:] = changed[:, :, begin:] = 255
        changed[:, : 8 * middle - distance] = changed[:, :, : 8 * middle - distance] = 255
        return np.abs(np.asarray(seen(changed)) - before).max()

    assert moved(model.reach) == 0
    assert moved(model.reach - 24) > 0, "tiles are larger than they need be"


@given(st.integers(1, 60), st.integers(1, 12), st.integers(0, 4))
def test_each_pixel_is_stood_for_once(size, window, reach):
    size, window, reach = 8 * size, 8 * (window + 2 * reach), 8 * reach
    window = min(window, size)
    found = list(tiling.spans(size, window, reach))
    assert [first for _, first, _ in found] == [0, *(last for _, _, last in found[:-1])] and found[-1][
        2
    ] == size
    for begin, first, last in found:
        assert 0 <= begin <= first < last <= begin + window <= size
        assert begin == 0 or first - begin >= reach
        assert begin + window == size or begin + window - last >= reach


@given(
    st.integers(1, 30_000), st.integers(1, 30_000), st.integers(2**16, 2**22), st.sampled_from([88, 144, 240])
)
def test_windows_keep_to_the_budget(height, width, pixels, reach):
    rows, columns = tiling.window_of((height, width), pixels, reach)
    assert rows % 8 == columns % 8 == 0 and rows < height + 8 and columns < width + 8
    assert rows * columns <= max(pixels, 16 * reach**2)
    square = [min(-(-side // 8) * 8, max(4 * reach, int(pixels**0.5) // 8 * 8)) for side in (height, width)]
    if square[0] * square[1] <= pixels:
        assert in_all((height, width), (rows, columns), reach) <= in_all((height, width), square, reach)


def in_all(size, window, reach):
    """Return the number of pixels of all tiles together."""
    sides = zip(size, window, strict=True)
    return math.prod(one * len(list(tiling.spans(-(-side // 8) * 8, one, reach))) for side, one in sides)


def test_no_tile_is_seen_for_a_sliver():
    """With square windows of this budget, the last tile of each row would contribute 312 columns only."""
    window = tiling.window_of((8192, 8192), 4_057_642, 240)
    assert in_all((8192, 8192), window, 240) < 1.6 * 8192**2


def mirrored_network():
    return with_variables(network_of("tiny", "single")[0].model, Mirrored())


def test_tiles_that_see_too_little_give_something_else(monkeypatch):
    """With a smaller overlap, the comparison of plugins_test.py fails."""
    network, variables = network_of("tiny", "single")
    image = picture(5 * network.model.reach, 24)
    roi = np.ones((*image.shape[:3], 1), np.uint8)
    (people, _), _ = count_in_tiles(network, variables, image, roi, 2**30, monkeypatch)
    monkeypatch.setattr(type(network.model), "reach", 8)
    (blind, _), _ = count_in_tiles(network, variables, image, roi, 1, monkeypatch)
    assert np.abs(blind - people).max() > 1e-2 * people.max()


def test_an_uncertainty_that_is_not_tileable_counts_whole_images_and_refuses_tiles(monkeypatch):
    network, variables = mirrored_network()
    side = 5 * network.model.reach
    image, roi = picture(side, 24), np.ones((1, side, 24, 1), np.uint8)
    (people, _), _ = count_in_tiles(network, variables, image, roi, 2**30, monkeypatch)
    assert people.shape[0] == 2 and np.abs(people[0] - people[1]).max() > 1e-2 * people.max()
    message = (
        rf"24x{side} pixels .* memory_gib=1 .* 'tiling_test' cannot .* raise memory_gib .* lower max_side"
    )
    with pytest.raises(ConfigError, match=message):
        count_in_tiles(network, variables, image, roi, 1, monkeypatch)


def test_the_refused_uncertainty_would_count_differently_in_tiles(monkeypatch):
    """Why it is refused: if it claimed to be tileable, the counts of the mirrored sample would differ."""
    network, variables = mirrored_network()
    image = picture(5 * network.model.reach, 5 * network.model.reach)
    roi = np.ones((*image.shape[:3], 1), np.uint8)
    monkeypatch.setattr(Mirrored, "tileable", True)
    (people, _), _ = count_in_tiles(network, variables, image, roi, 2**30, monkeypatch)
    (in_tiles, _), _ = count_in_tiles(network, variables, image, roi, 1, monkeypatch)
    assert np.abs(in_tiles - people).max() > 1e-2 * people.max()


def test_batches_over_devices_are_cut_too(monkeypatch):
    network, variables = network_of("tiny", "masksembles")
    image = picture(5 * network.model.reach, 24)
    roi = np.ones((*image.shape[:3], 1), np.uint8)
    put = mesh.put_batch(mesh.make_mesh(), (image, roi))
    (people, _), _ = count_in_tiles(network, variables, image, roi, 2**30, monkeypatch)
    (in_tiles, _), windows = count_in_tiles(network, variables, *put, 1, monkeypatch)
    assert len(windows) == 1
    np.testing.assert_allclose(in_tiles.sum(), people.sum(), rtol=1e-5)


def test_memory_is_asked_of_the_compiler():
    """`tiny` needs at least 16 float32 channels at half of the size."""
    network, variables = network_of("tiny", "single")
    whole = quick_jit(
        lambda v, image, roi: network.draw(v, image, roi, jax.random.key(0), train=False)["density"]
    )
    assert 16 * 4 / 4 < tiling.bytes_per_pixel(whole, variables) < 300


def test_no_program_for_small_images(monkeypatch):
    monkeypatch.setattr(tiling, "bytes_per_pixel", None)  # calling it would fail
    sample = tiling.make_sampler(network_of("tiny", "single")[0], lambda *_: "whole", 1e-9)
    assert sample(None, jnp.zeros((1, 1024, 1024, 3)), None) == "whole"
