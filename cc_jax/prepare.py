"""Raw files to a dataset that train and evaluate read: checks them, writes it once, prints what it holds.

usage: python -m cc_jax.prepare --dataset=NAME --manual_dir=DIR [--data_dir=DIR] [--overwrite]

A user's own images: --dataset=folder/ANY_NAME. Nothing is downloaded, and nothing is written if a file is wrong.
"""

from absl import flags

from cc_jax import app

_DATASET = flags.DEFINE_string("dataset", None, "Dataset: shanghaitech/part_a, unity_crowd, folder/NAME, ...")
_MANUAL_DIR = flags.DEFINE_string(
    "manual_dir", None, "The raw files as downloaded, a folder or an archive; synthetic sets need none."
)
_DATA_DIR = flags.DEFINE_string(
    "data_dir", None, "Where prepared datasets lie (default: $TFDS_DATA_DIR or ~/tensorflow_datasets)."
)
_OVERWRITE = flags.DEFINE_bool("overwrite", False, "Prepare again what is already there.")


def main(args: list[str]) -> None:
    """Prepares one dataset."""
    del args
    app.require(dataset=_DATASET.value)
    from cc_jax.data import preparation

    lines = preparation.prepare(
        _DATASET.value, _MANUAL_DIR.value, _DATA_DIR.value, overwrite=_OVERWRITE.value
    )
    print("\n".join(lines))


if __name__ == "__main__":
    app.run(main)
