"""Measure a counter's errors on kinds of images that it was not trained on, and keep them for its intervals.

usage: python -m cc_jax.tools.measure_domains --workdir=DIR --on=DATASET:SPLIT [--on=DATASET:SPLIT ...] [--looks=10]

Writes DIR/domains.npz: from then on `predict` and `Counter.load(DIR)` give intervals of the kind "domains" where no image of
the place was counted. Each set is split into kinds of images that look alike. Writes DIR/not_here.npz as well, which tells
images that the counter is not meant for. Prints how well the intervals cover each set, and how often its images are called
unusual, when its own images are left out.
"""

import functools
import pathlib

import numpy as np
from absl import flags

from cc_jax import app
from cc_jax.errors import ConfigError

_WORKDIR = flags.DEFINE_string(
    "workdir", None, "The workdir of a training run, or the folder of a packed counter."
)
_ON = flags.DEFINE_multi_string(
    "on", [], "A labelled set that the counter was not trained on, DATASET:SPLIT. Repeat it for each set."
)
_LOOKS = flags.DEFINE_integer("looks", 10, "Kinds of images that each set is split into.", lower_bound=1)
_DATA_DIR = flags.DEFINE_string("data_dir", None, "Where prepared datasets are. Default: the config's.")

_NEAR = 200  # images of each set of the training that say what these look like


def main(args: list[str]) -> None:
    """Count the sets, write domains.npz and not_here.npz, and print a row for each set."""
    del args
    workdir = pathlib.Path(app.required(_WORKDIR))
    if not _ON.value:
        raise ConfigError("--on: name a labelled set, DATASET:SPLIT; repeat the flag for each set")
    # Imported here, so that --help and wrong flags do not wait for JAX.
    from cc_jax.counting.counter import Counter
    from cc_jax.data import sources
    from cc_jax.data.examples import EvenlySpaced, Examples
    from cc_jax.data.progress import progress_bar
    from cc_jax.evaluation import domains, not_here

    app.compile_cache()
    counter = Counter.load(workdir)
    config, data_dir = counter.config, _DATA_DIR.value or counter.config.data_dir
    _check_not_trained_on(config)

    def bar(description: str):
        return functools.partial(progress_bar, description=description)

    embeddings, training = [], []
    for name, split, *_ in _trained_on(config):
        records = EvenlySpaced(sources.open_source(name, split, data_dir), _NEAR)
        examples = Examples(records, counter.resize_rule)
        embeddings += [p.embedding for p in counter.predict_examples(examples, bar(f"{name}:{split}"))]
        training.append(examples)
        print(f"looked at {len(records)} images of the training, {name} {split}", flush=True)
    near = domains.Near.of(np.stack(embeddings))
    classifier = _classifier(counter, training)
    sets, scores = {}, []
    for on in dict.fromkeys(_ON.value):  # a set that is named twice is one set
        predictions = counter.predict_counted(on, data_dir, bar(on))
        labelled = [p for p in predictions if not np.isnan(p.true)]
        if not labelled:
            raise ConfigError(f"--on={on}: no image of this set has labels")
        sets[on] = one = _counted_set(labelled)
        scores.append(_scores(counter, classifier, on, data_dir, [p.index for p in labelled]))
        mae = np.abs(one.count - one.true).mean()
        print(f"counted {len(one.true)} images of {on}: MAE {mae:.1f}", flush=True)
    found = domains.measure(sets, near, counter.weights_sha256)
    level = counter.interval_level
    print(f"{level:.0%} intervals of each set, from the other sets alone")
    print("set  images  kinds  holds  median width (people)  median of high / low")
    for name, row in domains.leave_each_out(sets, near, level).items():
        print(f"{name}  {row.images}  {row.kinds}  {row.coverage:.0%}  {row.width:.0f}  {row.ratio:.1f}")
    found.save(workdir)
    print(f"wrote {workdir / 'domains.npz'}: {found.describe(level)}")
    unusual = not_here.NotHere(classifier, np.concatenate(scores), found.domain, counter.weights_sha256)
    print(f"images that would be called unusual (p <= {not_here.UNUSUAL}) if the other sets alone were known")
    for name, share in not_here.leave_each_out(
        unusual, {on: len(one.true) for on, one in sets.items()}
    ).items():
        print(f"{name}  {share:.0%}")
    unusual.save(workdir)
    print(f"wrote {workdir / 'not_here.npz'}")


def _counted_set(labelled):
    """Return a set's counts, with the kinds of images that it is split into."""
    from cc_jax.evaluation import domains

    true, count = np.array([(p.true, p.counts.mean()) for p in labelled]).T
    embeddings = np.stack([p.embedding for p in labelled])
    return domains.CountedSet(true, count, embeddings, domains.looks(embeddings, _LOOKS.value))


def _classifier(counter, training):
    """Learn what tells images of the training from spoiled ones."""
    from cc_jax.data.progress import progress_bar
    from cc_jax.evaluation import not_here

    which = [(examples, i) for examples in training for i in range(len(examples))]
    images = (examples[i]["image"] for examples, i in progress_bar(which, "spoiling"))
    return not_here.Classifier.fit(*not_here.training_looks(counter.look, images))


def _scores(counter, classifier, on: str, data_dir: str, indices: list[int]) -> np.ndarray:
    """Return how little these images of a set look like those of the training."""
    from cc_jax.data import sources
    from cc_jax.data.examples import Examples
    from cc_jax.data.progress import progress_bar

    dataset, _, split = on.partition(":")
    examples = Examples(sources.open_source(dataset, split, data_dir), counter.resize_rule)
    looks = [counter.look(examples[i]["image"]) for i in progress_bar(indices, f"looking at {on}")]
    return classifier.score(np.stack(looks))


def _trained_on(config) -> list[tuple]:
    """Return (dataset, split, ...) of each set that the counter has learned from, with labels or without."""
    source, target = config.source, config.target
    sets = [
        (source.dataset, source.split),
        *source.extra_datasets,
        (target.dataset, target.split),
        *target.extra_datasets,
    ]
    return list({tuple(one[:2]): one for one in sets}.values())


def _check_not_trained_on(config) -> None:
    """Raise ConfigError if a set is one that the counter has learned from."""
    from cc_jax.data.examples import base_splits

    for on in _ON.value:
        dataset, _, split = on.partition(":")
        if any(
            name == dataset and base_splits(split) & base_splits(of) for name, of, *_ in _trained_on(config)
        ):
            raise ConfigError(f"--on={on}: the counter was trained on it; name images that it has not seen")


if __name__ == "__main__":
    app.run(main)
