"""Shows what a prepared dataset contains: a page, contact sheets, totals, and duplicates within and across splits.

usage: python -m cc_jax.tools.inspect_dataset --dataset=NAME --output=DIR [--split=SPLIT ...] [--data_dir=DIR]
"""

import pathlib

from absl import flags

from cc_jax import app

_DATASET = flags.DEFINE_string(
    "dataset", None, "Name of a prepared dataset: shanghaitech/part_a, folder/NAME, ..."
)
_SPLIT = flags.DEFINE_multi_string("split", None, "Split to inspect. May be repeated (default: all splits).")
_OUTPUT = flags.DEFINE_string("output", None, "Folder for index.html and the contact sheets.")
_DATA_DIR = flags.DEFINE_string(
    "data_dir", None, "Folder of prepared datasets (default: $TFDS_DATA_DIR or ~/tensorflow_datasets)."
)


def main(args: list[str]) -> None:
    """Inspects every image, writes the page, and prints what was found."""
    del args
    app.require(dataset=_DATASET.value, output=_OUTPUT.value)
    from cc_jax.data import sources, storage, survey
    from cc_jax.data.builders import notes
    from cc_jax.report import dataset_page

    data_dir = _DATA_DIR.value or sources.default_data_dir()
    builder = sources.make_builder(_DATASET.value, data_dir)
    splits = _SPLIT.value or sources.splits(_DATASET.value, data_dir)
    looks = [
        one
        for split in splits
        for one in survey.look_at(split, sources.open_source(_DATASET.value, split, data_dir))
    ]
    check = notes.describe(storage.read_summary(builder), builder.totals())
    written = dataset_page.write(pathlib.Path(_OUTPUT.value), _DATASET.value, looks, check)
    doubled = survey.find_twins(looks)
    print("\n".join([_DATASET.value, *check]))
    print(
        f"  {len(doubled)} pairs of images show the same, {sum(pair.leak for pair in doubled)} of them across splits"
    )
    print("wrote " + ", ".join(map(str, written)))


if __name__ == "__main__":
    app.run(main)
