"""Encoder files: round trip, digest, and refusal of what does not fit."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import safetensors.numpy
from flax import traverse_util

from cc_jax.build import QUICK
from cc_jax.errors import ConfigError
from cc_jax.models import tiny
from cc_jax.models.parts.pretrained import Encoder, load_encoder, read_encoder, write_encoder


@pytest.fixture(scope="module")
def variables():
    model = tiny.Model(encoder_channels=((4,), (4,), (4,)), back_end=(8, 8))
    init = jax.jit(model.init, compiler_options=QUICK)
    return init(jax.random.key(0), jnp.zeros((1, 16, 16, 3)), jnp.ones((1, 16, 16, 1)))


@pytest.fixture
def encoder(variables):
    shapes = traverse_util.flatten_dict(variables["params"]["encoder"], sep="/")
    rng = np.random.default_rng(0)
    tensors = {name: rng.standard_normal(value.shape).astype(np.float32) for name, value in shapes.items()}
    return Encoder("small", "made here", tensors, (0.1, 0.2, 0.3), (0.4, 0.5, 0.6))


def test_round_trip_into_the_model(tmp_path, variables, encoder):
    path = tmp_path / "new" / "small.safetensors"
    write_encoder(path, encoder)
    assert [file.name for file in path.parent.iterdir()] == [path.name]
    params, norm = load_encoder(path, variables["params"], {**variables["norm"], "other": jnp.ones(2)})
    loaded = traverse_util.flatten_dict(params["encoder"], sep="/")
    assert loaded.keys() == encoder.tensors.keys()
    for name, value in loaded.items():
        np.testing.assert_array_equal(value, encoder.tensors[name])
    np.testing.assert_allclose(norm["mean"], [0.1, 0.2, 0.3])
    np.testing.assert_allclose(norm["std"], [0.4, 0.5, 0.6])
    assert norm["other"].shape == (2,)
    for name in variables["params"].keys() - {"encoder"}:
        assert params[name] is variables["params"][name]
    assert jax.tree.structure(params) == jax.tree.structure(variables["params"])


def test_missing_file_names_the_command(tmp_path, variables):
    with pytest.raises(ConfigError, match=r"python -m cc_jax.tools.convert_weights --source=FILE --output="):
        load_encoder(tmp_path / "none.safetensors", variables["params"], variables["norm"])


def test_one_changed_bit_is_found(tmp_path, encoder):
    path = tmp_path / "small.safetensors"
    write_encoder(path, encoder)
    content = bytearray(path.read_bytes())
    content[-3] ^= 1
    path.write_bytes(content)
    with pytest.raises(ConfigError, match="damaged"):
        read_encoder(path)


def test_changed_normalisation_is_found(tmp_path, encoder):
    path = tmp_path / "small.safetensors"
    write_encoder(path, encoder)
    path.write_bytes(path.read_bytes().replace(b"0.4, 0.5", b"0.5, 0.4"))
    with pytest.raises(ConfigError, match="damaged"):
        read_encoder(path)


@pytest.mark.parametrize("keep", [0, 7, 100, -1])
def test_cut_short(tmp_path, encoder, keep):
    path = tmp_path / "small.safetensors"
    write_encoder(path, encoder)
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(ConfigError, match="not a readable safetensors"):
        read_encoder(path)


def test_foreign_safetensors(tmp_path):
    path = tmp_path / "foreign.safetensors"
    path.write_bytes(safetensors.numpy.save({"x": np.zeros(3, np.float32)}))
    with pytest.raises(ConfigError, match="not an encoder file of cc_jax.*convert_weights"):
        read_encoder(path)


def test_wrong_shape_missing_and_superfluous_tensors(tmp_path, variables, encoder):
    def load(tensors):
        write_encoder(tmp_path / "x.safetensors", Encoder("small", "", tensors, encoder.mean, encoder.std))
        return load_encoder(tmp_path / "x.safetensors", variables["params"], variables["norm"])

    name = "conv0_0/kernel"
    with pytest.raises(ConfigError, match=f"does not fit.*{name}.*the file has"):
        load({**encoder.tensors, name: np.zeros((3, 3, 3, 5), np.float32)})
    with pytest.raises(ConfigError, match="has no such tensor"):
        load({key: value for key, value in encoder.tensors.items() if key != name})
    with pytest.raises(ConfigError, match="it has no more/kernel"):
        load({**encoder.tensors, "more/kernel": np.zeros(2, np.float32)})
