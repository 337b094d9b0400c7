"""Counting works in an installation without the `train` extra, and what needs the extra says so."""

import os
import subprocess
import sys

from conftest import ROOT

# Fails the import of these packages, as if they were not installed.
FORBID = """
import sys

class Forbidden:
    names = {"tensorflow_datasets", "grain", "array_record", "matplotlib", "tensorflow", "torch"}

    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in self.names:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Forbidden())
"""
COUNT = """
import numpy as np
import cc_jax.predict
from cc_jax import Counter
from cc_jax.counting import files
from cc_jax.data import buckets, examples, images, resizing, video
from cc_jax.data.density import Density
from cc_jax.data.transforms import Augment
from cc_jax.errors import ConfigError

def refusal(call):
    try:
        call()
    except ConfigError as error:
        print(error)

def open_dataset():
    from cc_jax.data import sources

def make_batches():
    from cc_jax.data import pipeline

def draw_plots():
    from cc_jax.report import plots

record = {"id": "a", "image": images.encode_image(np.zeros((8, 8, 3), np.uint8)), "points": [], "roi": [],
          "labelled": True, "height": 8, "width": 8}
example = resizing.decode(record)
refusal(open_dataset)
refusal(draw_plots)
refusal(make_batches)
"""


def test_counting_needs_no_package_of_the_train_extra():
    command = [sys.executable, "-c", FORBID + COUNT]
    done = subprocess.run(
        command, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        'tensorflow_datasets is not installed; run: pip install "cc-jax[train]"',
        'matplotlib is not installed; run: pip install "cc-jax[train]"',
        'grain is not installed; run: pip install "cc-jax[train]"',
    ]
