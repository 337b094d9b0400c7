"""Evaluate the newest checkpoint of a workdir on a labelled set.

usage: python -m cc_jax.evaluate --workdir=DIR [--dataset=NAME --split=SPLIT] [--calibrate_on=SET] [--output=DIR]

Prints the errors and the coverage of the intervals, and writes results.json, predictions.csv, uncertainty.json and
report.html.
"""

import pathlib

from absl import flags

from cc_jax import app

_WORKDIR = flags.DEFINE_string("workdir", None, "The workdir of a training run.")
_DATASET = flags.DEFINE_string("dataset", None, "The dataset to evaluate on. Default: the config's target.")
_SPLIT = flags.DEFINE_string(
    "split",
    None,
    "The split of the dataset. Default: the config's test split, or 'test' for another dataset.",
)
_DATA_DIR = flags.DEFINE_string("data_dir", None, "Where prepared datasets are. Default: the config's.")
_CALIBRATE_ON = app.define_calibrate_on()
_SET_LEVEL = app.define_set_level()
_OUTPUT = flags.DEFINE_string(
    "output",
    None,
    "The folder for the files. Default: the workdir; for another set, calibrated intervals or an unfinished run, a folder "
    "below it.",
)


def main(args: list[str]) -> None:
    """Evaluate and write the results."""
    del args
    workdir = pathlib.Path(app.required(_WORKDIR))
    # Imported here, so that --help does not wait for JAX.
    from cc_jax.counting.evaluate_workdir import evaluate_workdir

    app.compile_cache()
    evaluate_workdir(
        workdir,
        dataset=_DATASET.value,
        split=_SPLIT.value,
        data_dir=_DATA_DIR.value or "",
        calibrate_on=_CALIBRATE_ON.value,
        set_level=_SET_LEVEL.value,
        output=pathlib.Path(_OUTPUT.value) if _OUTPUT.value else None,
    )


if __name__ == "__main__":
    app.run(main)
