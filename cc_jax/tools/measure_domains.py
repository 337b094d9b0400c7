"""Measure a counter's errors on kinds of images that it was not trained on, and keep them for its intervals.

usage: python -m cc_jax.tools.measure_domains --workdir=DIR --on=DATASET:SPLIT [--on=DATASET:SPLIT ...] [--looks=10]

Writes DIR/domains.npz: from then on `predict` and `Counter.load(DIR)` give intervals of the kind "domains" where no image of
the place was counted. Each set is split into kinds of images that look alike. Prints how well the intervals cover each set
when its own images are left out.
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
    """Count the sets, write domains.npz, and print a row for each set."""
    del args
    workdir = pathlib.Path(app.required(_WORKDIR))
    if not _ON.value:
        raise ConfigError("--on: name a labelled set, DATASET:SPLIT; repeat the flag for each set")
    # Imported here, so that --help and wrong flags do not wait for JAX.
    from cc_jax.counting.counter import Counter
    from cc_jax.data import sources
    from cc_jax.data.examples import EvenlySpaced, Examples
    from cc_jax.data.progress import progress_bar
    from cc_jax.evaluation import domains

    app.compile_cache()
    counter = Counter.load(workdir)
    config, data_dir = counter.config, _DATA_DIR.value or counter.config.data_dir
    _check_not_trained_on(config)

    def bar(description: str):
        return functools.partial(progress_bar, description=description)

    embeddings = []
    for name, split, *_ in _trained_on(config):
        records = EvenlySpaced(sources.open_source(name, split, data_dir), _NEAR)
        predictions = counter.predict_examples(Examples(records, counter.resize_rule), bar(f"{name}:{split}"))
        embeddings += [p.embedding for p in predictions]
        print(f"looked at {len(records)} images of the training, {name} {split}", flush=True)
    near = domains.Near.of(np.stack(embeddings))
    sets = {}
    for on in dict.fromkeys(_ON.value):  # a set that is named twice is one set
        sets[on] = one = _counted_set(counter.predict_counted(on, data_dir, bar(on)), on)
        print(
            f"counted {len(one.true)} images of {on}: MAE {np.abs(one.count - one.true).mean():.1f}",
            flush=True,
        )
    found = domains.measure(sets, near, counter.weights_sha256)
    level = counter.interval_level
    print(f"{level:.0%} intervals of each set, from the other sets alone")
    print("set  images  kinds  holds  median width (people)  median of high / low")
    for name, row in domains.leave_each_out(sets, near, level).items():
        print(f"{name}  {row.images}  {row.kinds}  {row.coverage:.0%}  {row.width:.0f}  {row.ratio:.1f}")
    found.save(workdir)
    print(f"wrote {workdir / 'domains.npz'}: {found.describe(level)}")


def _counted_set(predictions, on: str):
    """Return a set's counts, with the kinds of images that it is split into."""
    from cc_jax.evaluation import domains

    labelled = [p for p in predictions if not np.isnan(p.true)]
    if not labelled:
        raise ConfigError(f"--on={on}: no image of this set has labels")
    true, count = np.array([(p.true, p.counts.mean()) for p in labelled]).T
    embeddings = np.stack([p.embedding for p in labelled])
    return domains.CountedSet(true, count, embeddings, domains.looks(embeddings, _LOOKS.value))


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
