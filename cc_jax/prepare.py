"""Prepare a dataset for training and evaluation: check its raw files, write it once, and print what it contains.

usage: python -m cc_jax.prepare --dataset=NAME --manual_dir=DIR [--data_dir=DIR] [--overwrite]

For a folder of your own images: --dataset=folder/ANY_NAME. Nothing is downloaded. If a raw file is wrong, nothing is
written.
"""

from absl import flags

from cc_jax import app

_DATASET = flags.DEFINE_string(
    "dataset", None, "Name of the dataset: shanghaitech/part_a, unity_crowd, folder/NAME, ..."
)
_MANUAL_DIR = flags.DEFINE_string(
    "manual_dir", None, "The raw files as downloaded, a folder or an archive. Synthetic datasets need none."
)
_DATA_DIR = flags.DEFINE_string(
    "data_dir", None, "Folder of prepared datasets (default: $TFDS_DATA_DIR or ~/tensorflow_datasets)."
)
_OVERWRITE = flags.DEFINE_bool("overwrite", False, "Prepare the dataset again if it is already prepared.")


def main(args: list[str]) -> None:
    """Prepares one dataset."""
    del args
    dataset = app.required(_DATASET)
    from cc_jax.data import preparation

    lines = preparation.prepare(dataset, _MANUAL_DIR.value, _DATA_DIR.value, overwrite=_OVERWRITE.value)
    print("\n".join(lines))


if __name__ == "__main__":
    app.run(main)
