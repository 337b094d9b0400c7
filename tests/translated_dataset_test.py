"""Sets of images that a network rewrites."""

import numpy as np
import pytest
from frames_of import Records, record_of

from cc_jax.data.examples import Examples
from cc_jax.data.mixture import Mixture
from cc_jax.data.resizing import ResizeRule
from cc_jax.errors import CheckpointError
from cc_jax.inference.predict import Batching
from cc_jax.training import translated_dataset

FRAME = ResizeRule(max_side=48)
HOW = Batching(batch_size=2, max_buckets=1, threads=1)


def examples_of(*sizes):
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 256, (*size, 3), np.uint8) for size in sizes]
    records = [record_of(image, [(3, 5), (image.shape[1] - 2, 9)]) for image in images]
    return Examples(Records([{**record, "id": f"im{i}"} for i, record in enumerate(records)]), FRAME)


def keep(records):
    return Examples(records, FRAME)


def from_the_right(params, image):
    """Each pixel becomes the negative of its right neighbor, so that padding shows in the last column."""
    return params - image[:, :, [*range(1, image.shape[2]), image.shape[2] - 1]]


def test_images_change_and_heads_stay(tmp_path):
    before = examples_of((40, 30), (50, 72), (33, 47))
    after = translated_dataset.rewrite(
        from_the_right, np.uint8(255), before, tmp_path / "translated", HOW, keep
    )
    assert after.sizes == before.sizes == [(40, 30), (33, 48), (33, 47)]
    for old, new in zip(before, after, strict=True):
        beyond = np.concatenate(
            [old["image"][:, 1:], old["image"][:, -1:]], 1
        )  # the border goes on: it is not black
        np.testing.assert_array_equal(new["image"], 255 - beyond)
        np.testing.assert_allclose(new["points"], old["points"], rtol=1e-6)
        np.testing.assert_array_equal(new["roi"], old["roi"])
        assert (new["id"], new["labelled"]) == (old["id"], True)
    assert len(list((tmp_path / "translated").glob("*.png"))) == 3 and (tmp_path / "translated.jpg").exists()


def test_a_few_are_shown_of_what_is_never_kept(tmp_path):
    before = examples_of((40, 30), (50, 72), (33, 47))
    translated_dataset.rewrite(from_the_right, np.uint8(255), before, tmp_path / "kept", HOW, keep)
    for examples, name in ((before, "one"), (Mixture([before, before], [1, 1]), "mixture")):
        translated_dataset.show(from_the_right, np.uint8(255), examples, tmp_path / name, HOW)
        assert (tmp_path / f"{name}.jpg").read_bytes() == (tmp_path / "kept.jpg").read_bytes()
        assert not (tmp_path / name).exists()


def test_what_is_there_is_not_made_again_and_what_is_gone_is_named(tmp_path):
    before = examples_of((40, 30), (33, 47))
    first = translated_dataset.rewrite(from_the_right, np.uint8(255), before, tmp_path / "t", HOW, keep)
    (tmp_path / "t/000001.png").unlink()
    second = translated_dataset.rewrite(from_the_right, np.uint8(200), before, tmp_path / "t", HOW, keep)
    np.testing.assert_array_equal(second[0]["image"], first[0]["image"])
    assert (second[1]["image"] != examples_of((40, 30), (33, 47))[1]["image"]).any()
    (tmp_path / "t/000000.png").unlink()
    fresh = keep(translated_dataset.Rewritten(before, tmp_path / "t"))
    with pytest.raises(CheckpointError, match="000000.png"):
        fresh[0]


def test_each_part_of_a_mixture_is_rewritten(tmp_path):
    parts = [examples_of((40, 30)), examples_of((33, 47), (20, 20))]
    mixed = translated_dataset.rewrite(
        from_the_right, np.uint8(255), Mixture(parts, [1, 3]), tmp_path / "t", HOW, keep
    )
    assert mixed.weights == [0.25, 0.75] and len(mixed) == 3
    assert [path.name for path in sorted((tmp_path / "t").iterdir())] == ["0", "0.jpg", "1", "1.jpg"]
