"""Count the people in images and videos.

usage: python -m cc_jax.predict [--workdir=DIR] --input=IMAGE|FOLDER|VIDEO --output=DIR [--calibrate_on=SET]

Writes counts.csv, counts.json, and for each image its density map drawn over it, in overlays/. If some inputs cannot be
read, they are named, the others are counted, and the exit code is 3.
"""

import pathlib
import shlex
import sys
from typing import Any

from absl import flags

from cc_jax import app
from cc_jax.counting import files
from cc_jax.errors import InputError

_WORKDIR = flags.DEFINE_string(
    "workdir",
    None,
    "The workdir of a training run, or the folder of a packed counter. Default: the counter installed with cc_jax.",
)
_INPUT = flags.DEFINE_string("input", None, "An image, a video, or a folder (with its subfolders).")
_OUTPUT = flags.DEFINE_string("output", None, "The folder for the results.")
_EVERY_S = flags.DEFINE_float("every_s", 1.0, "Seconds between a video's counted frames; 0: every frame.")
_CALIBRATE_ON = app.define_calibrate_on()
_SET_LEVEL = app.define_set_level()
_MAX_SIDE = flags.DEFINE_integer(
    "max_side",
    None,
    "Pixels; images with a longer side are shrunk to it. 0: no limit. Default: as in training.",
)
_MEMORY_GIB = flags.DEFINE_float(
    "memory_gib",
    None,
    "GiB that the network may take beside the image; larger images are counted in tiles. Default: as in training.",
)
_MEMBER_INTERVALS = flags.DEFINE_bool(
    "member_intervals",
    False,
    "Whether to show how far the samples of the counter disagree, where there is no interval. It promises nothing.",
)
_OVERLAYS = flags.DEFINE_bool("overlays", True, "Whether to write overlays.")


def main(args: list[str]) -> int:
    """Count all inputs and write the results."""
    del args
    source, output = (pathlib.Path(app.required(flag)) for flag in (_INPUT, _OUTPUT))
    paths = files.find(source, output)
    # Imported here, so that --help and wrong paths do not wait for JAX.
    from cc_jax.counting.counter import Counter

    app.compile_cache()
    counter = Counter.load(_WORKDIR.value, max_side=_MAX_SIDE.value, memory_gib=_MEMORY_GIB.value)
    if _CALIBRATE_ON.value:
        calibrated = counter.calibrate(_CALIBRATE_ON.value, set_level=_SET_LEVEL.value)
        if _WORKDIR.value is None:
            print("the calibration holds for this call alone: with --workdir it is kept there")
        else:
            calibrated.save(pathlib.Path(_WORKDIR.value))
    counter.plan(files.sizes(paths))
    about: dict[str, Any] = {
        "command": shlex.join(["python", "-m", "cc_jax.predict", *sys.argv[1:]]),
        "weights_sha256": counter.weights_sha256,
    }
    if counter.calibration:
        if not _SET_LEVEL.value:
            counter.calibration = counter.calibration.without_factor()
        about["factor"] = counter.calibration.errors.factor
    about["intervals"] = counter.describe_intervals()
    print(about["intervals"], flush=True)
    items = files.read(paths, source if source.is_dir() else source.parent, _EVERY_S.value)
    unreadable = files.predict(
        counter,
        items,
        output,
        with_overlays=_OVERLAYS.value,
        member_intervals=_MEMBER_INTERVALS.value,
        about=about,
        program=app.program(),
        progress=files.counting_bar,
    )
    return InputError.exit_code if unreadable else 0


if __name__ == "__main__":
    app.run(main)
