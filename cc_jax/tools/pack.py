"""Pack a trained counter: what counting needs of a workdir, in two files of a few megabytes that can be handed on.

usage: python -m cc_jax.tools.pack --workdir=DIR --output=DIR

`predict --workdir=DIR` and `Counter.load(DIR)` count with the packed counter. Its parameters are in half precision.
"""

import pathlib

from absl import flags

from cc_jax import app

_WORKDIR = flags.DEFINE_string("workdir", None, "The workdir of a training run.")
_OUTPUT = flags.DEFINE_string("output", None, "The folder for the packed counter.")


def main(args: list[str]) -> None:
    """Write the packed counter, and print its size and the digest of its weights."""
    del args
    workdir, output = (pathlib.Path(app.required(flag)) for flag in (_WORKDIR, _OUTPUT))
    # Imported here, so that --help and wrong flags do not wait for JAX.
    from cc_jax.counting.counter import Counter
    from cc_jax.workdir.layout import Layout
    from cc_jax.workdir.packed import Packed, write_packed

    trained = Counter.load(workdir)
    write_packed(output, Packed(trained.config, trained.variables, trained.step, trained.stage))
    packed = Counter.load(output)
    size = Layout(output).packed.stat().st_size
    print(f"{output}: {size / 1e6:.1f} MB, {packed.step} steps, weights {packed.weights_sha256}")


if __name__ == "__main__":
    app.run(main)
