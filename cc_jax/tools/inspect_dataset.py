"""Show what a prepared dataset contains: a page, contact sheets, totals, and duplicates within and across splits.

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
    dataset, output = app.required(_DATASET), pathlib.Path(app.required(_OUTPUT))
    from cc_jax.data import sources, storage, survey
    from cc_jax.data.builders import notes
    from cc_jax.report import dataset_page

    data_dir = _DATA_DIR.value or sources.default_data_dir()
    builder = sources.make_builder(dataset, data_dir)
    splits = _SPLIT.value or sources.splits(dataset, data_dir)
    looks = [
        one
        for split in splits
        for one in survey.look_at(split, sources.open_source(dataset, split, data_dir))
    ]
    check = notes.describe(storage.read_summary(builder), builder.totals())
    written = dataset_page.write(output, dataset, looks, check)
    doubled = survey.find_twins(looks)
    print("\n".join([dataset, *check]))
    print(
        f"  {len(doubled)} pairs of images show the same, {sum(pair.leak for pair in doubled)} of them across splits"
    )
    print("wrote " + ", ".join(map(str, written)))


if __name__ == "__main__":
    app.run(main)
