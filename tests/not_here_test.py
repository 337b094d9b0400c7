"""Images that a counter is not meant for: spoiled copies, the classifier, and p-values that hold for one more domain."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kept_scenes import drawn

from cc_jax import Counter
from cc_jax.errors import CheckpointError
from cc_jax.evaluation import not_here, spoiled


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 700), st.integers(1, 700))
def test_bands_are_the_thirds_of_a_small_copy(height, width):
    rgb = np.full((height, width, 3), 7, np.uint8)
    rgb[: height // 2] = 200
    image, roi = not_here.bands(rgb)
    assert image.shape == (3, 88, 256, 3) and roi.shape == (3, 88, 256, 1)
    assert roi.any((1, 2, 3)).all() and not image[~roi[..., 0].astype(bool)].any()
    longer, shorter = max(height, width), min(height, width)
    assert roi.sum() == 256 * max(3, round(256 * shorter / longer))
    if height >= 12:
        upper, _, lower = (part[part > 0].mean() for part in image)
        assert upper > 190 and lower < 20


@pytest.mark.parametrize("kind", spoiled.KINDS)
def test_spoiled_copies(kind):
    """They are images of at most 512 pixels, the same for the same generator, and other ones than the image."""
    (scene,) = drawn(1, 3, height=256, width=384)
    for image in (scene.image, np.ascontiguousarray(scene.image[:, :100]), np.tile(scene.image, (3, 3, 1))):
        one, again = (spoiled.spoil(np.random.default_rng(5), image, kind) for _ in range(2))
        np.testing.assert_array_equal(one, again)
        assert one.dtype == np.uint8 and one.ndim == 3 and 0 < max(one.shape[:2]) <= 512
        if one.shape == image.shape:
            assert (one != image).mean() > 0.1


def test_spoiled_pixels():
    rng, image = np.random.default_rng(0), np.arange(6 * 8 * 3, dtype=np.uint8).reshape(6, 8, 3)
    assert (spoiled.negative(rng, image) == 255 - image).all()
    down = spoiled.upside_down(rng, image)
    assert (down == image[::-1]).all() or (down == image[::-1, ::-1]).all()
    assert spoiled.turned(rng, image).shape == (8, 6, 3)
    tiles = spoiled.shuffled(rng, np.tile(image, (4, 4, 1)))
    assert sorted(tiles.ravel()) == sorted(
        np.tile(image, (4, 4, 1))[: tiles.shape[0], : tiles.shape[1]].ravel()
    )


def test_every_kind_has_its_words():
    assert set(not_here.WORDS) == set(spoiled.KINDS) == set(not_here.CLASSES[1:])


def test_the_classifier_is_that_of_scikit_learn():
    linear_model = pytest.importorskip("sklearn.linear_model")
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(len(not_here.CLASSES)), rng.integers(5, 40, len(not_here.CLASSES)))
    features = rng.normal(size=(len(labels), 7)) * (3, 1, 1, 1, 1, 1, 0.1) + labels[:, None] % (
        2,
        3,
        4,
        5,
        6,
        7,
        8,
    )
    ours = not_here.Classifier.fit(features, labels)
    standard = (features - features.mean(0)) / features.std(0)
    theirs = linear_model.LogisticRegression(
        C=1 / (not_here._PENALTY * len(labels)), class_weight="balanced", max_iter=5000, tol=1e-8
    ).fit(standard, labels)
    expected = -theirs.predict_log_proba(standard)[:, 0]
    np.testing.assert_allclose(ours.score(features), expected, rtol=5e-3, atol=5e-3)
    kinds = theirs.predict_log_proba(standard)[:, 1:].argmax(1) + 1
    assert np.mean([ours.kind(f) == not_here.CLASSES[k] for f, k in zip(features, kinds, strict=True)]) > 0.98


def known(scores, domain):
    classifier = not_here.Classifier(np.zeros((2, 12), np.float32), np.zeros(12, np.float32))
    return not_here.NotHere(classifier, np.asarray(scores, float), np.asarray(domain), "a")


def test_p_values():
    """Each domain has the same weight, and so has the new one."""
    one = known([1, 2, 3, 4, 10], [0, 0, 0, 0, 1])
    assert one.p_value(11) == pytest.approx(1 / 3)
    assert one.p_value(10) == pytest.approx((1 + 1) / 3)
    assert one.p_value(3) == pytest.approx((1 + 2 / 4 + 1) / 3)
    assert one.p_value(0) == 1
    alone = one.of(np.array([False, False, False, False, True]))
    assert alone.p_value(11) == 1 / 2


def test_a_set_is_judged_by_the_others_alone():
    scores = [*np.arange(40), *np.arange(40), 100]
    one = known(scores, [*np.arange(40), *np.arange(40, 80), 80])
    found = not_here.leave_each_out(one, {"one": 40, "same": 40, "far": 1})
    # Of 42 domains with the new one, the two highest have at most 4 at or above them.
    assert found == {"one": 2 / 40, "same": 2 / 40, "far": 1.0}
    assert not_here.leave_each_out(known([1, 2], [0, 1]), {"alone": 2}) == {}


@pytest.mark.parametrize("level", [0.05, 0.1, 0.3])
def test_images_of_one_more_domain_are_seldom_called_unusual(level):
    """Domains differ in their level and their spread; the promise is for the mean over domains."""
    rng, found = np.random.default_rng(0), []
    for _ in range(300):
        shift, spread = rng.normal(0, 2, 25), rng.uniform(0.2, 2, 25)
        images = shift[:, None] + spread[:, None] * rng.normal(size=(25, 12))
        others = known(images[:24].ravel(), np.repeat(np.arange(24), 12))
        found.append(np.mean([others.p_value(score) <= level for score in images[24]]))
    error = np.std(found) / np.sqrt(len(found))
    assert np.mean(found) <= level + 3 * error
    assert np.mean(found) > level - 0.05 - 3 * error  # and it is no idle promise


def test_they_are_kept_with_the_weights(tmp_path):
    one = known([1, 2, 3], [0, 0, 1])
    assert not_here.load(tmp_path, "a") is None
    one.save(tmp_path)
    again = not_here.load(tmp_path, "a")
    assert again is not None and again.weights_sha256 == "a"
    np.testing.assert_array_equal(again.scores, one.scores)
    np.testing.assert_array_equal(again.domain, one.domain)
    with pytest.raises(CheckpointError, match="other weights"):
        not_here.load(tmp_path, "b")
    with pytest.MonkeyPatch.context() as patch, pytest.raises(CheckpointError, match="other kinds of images"):
        patch.setattr(not_here, "CLASSES", not_here.CLASSES[:-1])
        not_here.load(tmp_path, "a")


def test_the_classifier_learns_from_spoiled_copies_of_parts():
    shown = []

    def looks_of(image):
        shown.append(image)
        return np.float32([image.mean(), image.shape[0] / image.shape[1]])

    scenes = [scene.image for scene in drawn(3, 3, height=256, width=384)]
    features, labels = not_here.training_looks(looks_of, scenes)
    assert features.shape == (39, 2) and (np.bincount(labels) == [6, *[3] * 11]).all()
    assert shown[0] is scenes[0] and len({image.shape for image in shown}) > 4


def test_the_installed_counter_knows_what_is_not_for_it():
    """Upright scenes are seldom called unusual, those upside down are more so, and what is no photograph is told."""
    counter = Counter.load()
    assert counter.not_here is not None
    scenes = [
        scene.image for scene in drawn(12, 21, look="any", height=256, width=384) if len(scene.points) > 20
    ]
    score = lambda image: float(counter.not_here.classifier.score(counter.look(image)))  # noqa: E731
    upright = [counter.not_here.p_value(score(image)) for image in scenes]
    down = [counter.not_here.p_value(score(np.ascontiguousarray(image[::-1]))) for image in scenes]
    assert np.mean(np.array(upright) <= not_here.UNUSUAL) <= 0.2
    assert np.median(down) < 0.5 * np.median(upright)
    rng = np.random.default_rng(0)
    unlike = [spoiled.spoil(rng, scenes[0], kind) for kind in ("screen", "sketched", "blobs", "pixelated")]
    found = [counter.count(image) for image in unlike]
    assert all(one.p_typical is not None and one.p_typical <= not_here.UNUSUAL for one in found)
    assert all(one.unusual for one in found)
    assert all(any("unlike those" in warning for warning in one.warnings) for one in found)
