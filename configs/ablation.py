"""What each choice of OURS contributes: one field changed at a time, all runs with the same number of counter steps.

python -m cc_jax.train --config=configs/ablation.py:synthetic --workdir=runs/ablation   # the embedded pair, three seeds
python -m cc_jax.train --config=configs/ablation.py:b_to_a --workdir=runs/ablation_b    # ShanghaiTech B to A, `lite`
python -m cc_jax.train --config=configs/ablation.py:uncertainty --workdir=runs/spectrum # from one network to three
python -m cc_jax.train --config=configs/ablation.py:smoke --workdir=runs/smoke
python -m cc_jax.tabulate runs/ablation/*/ --against=rounds
python -m cc_jax.tabulate runs/spectrum/*/ --uncertainty

The variants change the paper's way of labelling, in rounds. The moving average as a teacher is the variant that became the
default. Processes that are given the same command, on other cores, devices or hosts, share the runs.

Two sets are counted: one to select by, which is labelled but neither trained nor tested on, and the test split, to report.
The first is `synthetic/validation`, or the last 60 images of A's training split, which the method then does not see.

Results: docs/results.
"""

from configs import default, demo, shb_to_sha

OURS = "method.ours."
VARIANTS = (
    ("rounds", {}),
    ("no adaptation", {"method.name": "no_adapt"}),
    *(
        (f"rule {rule}", {OURS + "rule": rule})
        for rule in ("absolute", "relative", "balanced", "image", "soft", "none")
    ),
    *((f"fraction {share}", {OURS + "fraction": share}) for share in (0.25, 0.75)),
    *((f"rounds {number}", {OURS + "rounds": number}) for number in (2, 4)),
    *((f"rounds in {share} of the steps", {OURS + "round_share": share}) for share in (0.25, 0.5)),
    ("teacher ema", {OURS + "teacher": "ema"}),
    ("teacher ema, soft", {OURS + "teacher": "ema", OURS + "rule": "soft"}),
    *((f"upside-down {weight:g}", {OURS + "upside_down_weight": weight}) for weight in (0.0, 1.0)),
    ("quarter turns", {"model.head": "quarters"}),
)
_MASKS = "uncertainty.masksembles."
SPECTRUM = (
    ("single", {"uncertainty.name": "single"}),
    *((f"masksembles, scale {scale:g}", {_MASKS + "scale": scale}) for scale in (1.2, 2.0, 4.0)),
    ("mc dropout", {"uncertainty.name": "mc_dropout"}),
    ("deep ensemble", {"uncertainty.name": "deep_ensemble"}),
)
# The first variant has this share already from B to A.
SAME_FROM_B_TO_A = "rounds in 0.25 of the steps"


def get_config(arg: str | None = None):
    """Return the config. `arg`: "synthetic" (the default), "uncertainty", "b_to_a" (one seed) or "smoke"."""
    arg = default.parse_arg(arg, ("synthetic", "uncertainty", "b_to_a", "smoke")) or "synthetic"
    if arg == "b_to_a":
        config = shb_to_sha.get_config("cpu")
        config.target.split = "train[:240]"
        config.evaluation.extra_datasets = (("shanghaitech/part_a", "train[240:]"),)
        config.sweep.methods = ()
        config.method.ours.teacher = "rounds"
        config.sweep.variants = tuple(one for one in VARIANTS if one[0] != SAME_FROM_B_TO_A)
        return config
    config = demo.get_config("smoke" if arg == "smoke" else None)
    config.evaluation.every_stage = False
    config.evaluation.extra_datasets = (("synthetic/validation", "test[:8]" if arg == "smoke" else "test"),)
    config.sweep.variants = {"smoke": VARIANTS[:3], "uncertainty": SPECTRUM}.get(arg, VARIANTS)
    config.sweep.seeds = (0,) if arg == "smoke" else (0, 1, 2)
    return config
