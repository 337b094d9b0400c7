"""Decoded once, and the batches are the same to the last bit."""

import numpy as np
import pytest

from cc_jax.data import cache, pipeline, scenes, transforms
from cc_jax.data.density import Density
from cc_jax.data.images import encode_image

SIDE = 96


@pytest.fixture(scope="module")
def records():
    drawn = [scenes.render("target", 3, i, height=SIDE, width=SIDE) for i in range(6)]
    return [
        {
            "id": f"{i}", "image": encode_image(one.image, ".jpg"), "points": one.points,
            "roi": np.zeros((0, 2), np.float32), "labelled": True, "height": SIDE, "width": SIDE,
        }
        for i, one in enumerate(drawn)
    ]  # fmt: skip


@pytest.mark.parametrize("limit", [0, 3 * SIDE * SIDE * 3, 10**9])
@pytest.mark.parametrize("photometric", [0.0, 1.0])
def test_batches_do_not_depend_on_the_cache(records, limit, photometric):
    """Crops as large as the image too: their pixels are the cached ones, and must not be changed in place."""
    cached = cache.Cached(records, limit)
    augment = transforms.Augment(crop=SIDE, native=0.5, scale_max=1.5, photometric=photometric)
    datasets = [
        pipeline.train_dataset(r, augment=augment, density=Density(), seed=1) for r in (records, cached)
    ]
    for i in range(5):  # several epochs: later ones read what is kept
        plain, kept = (pipeline.batch_at(dataset, i, batch_size=4) for dataset in datasets)
        for name in plain:
            np.testing.assert_array_equal(plain[name], kept[name])


def test_as_much_is_kept_as_fits_and_decoded_once(records, monkeypatch):
    calls = []
    monkeypatch.setattr(
        cache, "read_image", lambda data, name: calls.append(name) or np.zeros((8, 8, 3), np.uint8)
    )
    cached = cache.Cached(records, limit=2 * 8 * 8 * 3 + 100)
    for _ in range(3):
        assert [cached[i]["id"] for i in range(4)] == ["0", "1", "2", "3"]
    assert calls == ["0", "1", "2", "3", "2", "3", "2", "3"]
    with pytest.raises(ValueError, match="read-only"):
        cached[0]["image"][0] = 1
