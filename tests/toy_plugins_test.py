"""A method with a field, an uncertainty, a model and a dataset, each one new file in a folder outside of the package."""

import json

import numpy as np
import programs
import pytest
from raw_trees import save_picture

pytestmark = pytest.mark.slow

METHOD = '''"""Toy."""

import dataclasses

import jax
from cc_jax.methods import base


@dataclasses.dataclass(frozen=True)
class Method(base.Method):
    """One stage, on source crops.

    Attributes:
      alpha: Factor on the loss.
    """

    display_name = "Toy method"
    summary = "Trained on the source with a scaled loss."

    alpha: float = 1.0

    def stages(self):
        return (base.Stage("toy", self.steps, self.update, self.labelled_source_and_target, draws=("source",)),)

    def update(self, state, batch, rng, draw):
        def loss(params):
            return self.alpha * self.density_loss(state.variables(params), batch["source"], rng, draw)

        value, grads = jax.value_and_grad(loss)(state.params["counter"])
        return state.descend("counter", grads), {"loss": value, "alpha": jax.numpy.float32(self.alpha)}
'''
UNCERTAINTY = '''"""Toy."""

import dataclasses

import jax.numpy as jnp
from cc_jax.uncertainty import base


@dataclasses.dataclass(frozen=True)
class Uncertainty(base.Uncertainty):
    """Two samples: features that are weaker, and features that are stronger.

    Attributes:
      spread: How much.
    """

    display_name = "Toy uncertainty"
    summary = "Answers twice, with weaker and with stronger features."

    tileable = True

    spread: float = 0.1

    def draw(self, model, variables, image, roi, rng, *, train):
        del rng
        features = model.apply(variables, image, roi, method="encode")
        factors = [1.0] if train else [1 - self.spread, 1 + self.spread]
        masks = [jnp.full((model.mask_channels,), factor) for factor in factors]
        density = [model.apply(variables, features, mask, roi, method="decode") for mask in masks]
        return {"density": jnp.stack(density), **base.unmasked(model, variables, features, roi)}
'''
MODEL = '''"""Toy."""

import flax.linen as nn
import jax
from cc_jax.models.parts import layers
from cc_jax.models.parts.decoder import CountingModel


class Encoder(nn.Module):
    """One convolution."""

    features: int

    @property
    def reach(self):
        return 8

    @nn.compact
    def __call__(self, x, pyramid):
        x = layers.Conv(self.features, (8, 8), 8, name="conv")(x)
        return layers.masked(jax.nn.relu(x), pyramid[8])


class Model(CountingModel):
    """One convolution, and two more.

    Attributes:
      features: Channels of the encoder.
      back_end: Channels of the back end.
      spatial_kernel_size: There is no spatial encoder.
      kernel_init: Initialization of the back end.
    """

    display_name = "Toy model"
    summary = "Three convolutions."

    features: int = 16
    back_end: tuple[int, ...] = (16, 16, 8)
    spatial_kernel_size: int = 0
    kernel_init: str = "he"

    @nn.nowrap
    def make_encoder(self):
        return Encoder(self.features)
'''
DATASET = '''"""Toy."""

from cc_jax.data import images
from cc_jax.data.builders import base, labels


class Builder(base.CrowdDatasetBuilder):
    """Pictures with a text file of head points beside each."""

    def raw(self, manual_dir):
        found = [
            base.RawImage(path.stem, path, labels.read_text(path.with_suffix(".txt")))
            for path in images.list_images(manual_dir)
        ]
        return base.Raw({"train": found[:-2], "test": found[-2:]})
'''
FILES = {
    "methods/toy.py": METHOD, "uncertainty/toy.py": UNCERTAINTY, "models/toy.py": MODEL, "data/builders/toy.py": DATASET,
}  # fmt: skip


@pytest.fixture(scope="module")
def toy(tmp_path_factory, environment):
    """`toy(*command)` runs a program with the four plug-ins and returns what it says."""
    root = tmp_path_factory.mktemp("toy")
    for name, text in FILES.items():
        path = root / "parts" / name
        path.parent.mkdir(parents=True)
        path.write_text(text)
    rng = np.random.default_rng(0)
    for i in range(6):
        points = rng.integers(5, 90, (4 + i, 2))
        save_picture(root / "raw" / f"{i}.jpg", points, (96, 128))
        (root / "raw" / f"{i}.txt").write_text("".join(f"{x} {y}\n" for x, y in points))
    own = {**environment, "CC_JAX_PLUGINS": str(root / "parts"), "TFDS_DATA_DIR": str(root / "data")}

    def run(*command, code=0):
        found = programs.run(["-m", *command], env=own)
        assert found.returncode == code, found.stdout[-3000:] + found.stderr
        return found.stderr if code else found.stdout

    run("cc_jax.prepare", "--dataset=toy", f"--manual_dir={root / 'raw'}")
    run.root = root
    return run


@pytest.fixture(scope="module")
def workdir(toy):
    """A run of all four."""
    arguments = [
        "--config=configs/demo.py:smoke", f"--workdir={toy.root / 'run'}", "--config.steps=4",
        "--config.method.name=toy", "--config.method.toy.alpha=0.3",
        "--config.model.name=toy", "--config.model.toy.features=24", "--config.model.toy.back_end=(20,16,8)",
        "--config.uncertainty.name=toy", "--config.uncertainty.toy.spread=0.2",
        "--config.source.dataset=toy", "--config.source.split=train",
        "--config.target.dataset=toy", "--config.target.split=train", "--config.target.test_split=test",
    ]  # fmt: skip
    toy("cc_jax.train", *arguments)
    return toy.root / "run"


def test_they_are_trained_with_the_fields_of_the_command_line(workdir):
    config = json.loads((workdir / "config.json").read_text())
    assert config["method"]["toy"] == {"alpha": 0.3} and config["uncertainty"]["toy"] == {"spread": 0.2}
    assert config["model"]["toy"]["features"] == 24 and config["model"]["toy"]["back_end"] == [20, 16, 8]
    rows = [json.loads(line) for line in (workdir / "log.jsonl").read_text().splitlines()]
    assert rows[-1]["step"] == 4 and rows[-1]["stage"] == "toy" and rows[-1]["alpha"] == pytest.approx(0.3)
    (result,) = json.loads((workdir / "results.json").read_text())[-1:]
    named = {key: result[key] for key in ("method", "uncertainty", "model", "source", "target", "images")}
    assert named == {
        "method": "toy", "uncertainty": "toy", "model": "toy", "source": "toy train", "target": "toy", "images": 2,
    }  # fmt: skip


@pytest.mark.parametrize(
    "wrong, words",
    [
        ("method.toy.alphas=0.3", 'Did you mean "alpha"'),
        ("model.toy.features=many", "features"),
        ("method.name=toi", "no method is called 'toi' (did you mean 'toy'?)"),
    ],
)
def test_what_is_wrong_about_them_is_told_in_a_line(toy, wrong, words):
    config = ("--config=configs/demo.py:smoke", f"--config.{wrong}", f"--workdir={toy.root / 'none'}")
    said = toy("cc_jax.train", *config, code=2)
    assert words in said and len(said.splitlines()) == 1
    assert not (toy.root / "none").exists()


def test_they_are_evaluated_tabulated_and_reported(toy, workdir):
    before = (workdir / "predictions.csv").read_text()
    assert "MAE" in toy("cc_jax.evaluate", f"--workdir={workdir}")
    assert (workdir / "predictions.csv").read_text() == before
    assert "Toy method" in toy("cc_jax.tabulate", workdir)
    report = (workdir / "report.html").read_text()
    for words in (
        "Toy method",
        "Trained on the source with a scaled loss.",
        "with weaker and with stronger features",
    ):
        assert words in report


@pytest.mark.slow
def test_the_tests_that_walk_the_registry_find_them(toy):
    """A few of them: padding of model and samples, tiles of the model, the stages and updates of the method."""
    some = "toy and (padding or shape or steps or toy-single)"
    said = toy(
        "pytest", "-q", "-p", "no:cacheprovider", "tests/plugins_test.py", "-m", "not slow", "-k", some
    )
    assert "7 passed" in said and "failed" not in said, said
