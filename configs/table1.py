"""All methods side by side, those of the paper's table and newer ones, for one pair of source and target.

python -m cc_jax.train --config=configs/table1.py:synthetic --workdir=runs/table1        # the embedded pair, three seeds
python -m cc_jax.train --config=configs/table1.py:gcc_to_a --workdir=runs/table1_gcc_a   # one of the paper's, on a GPU
python -m cc_jax.train --config=configs/table1.py:smoke --workdir=runs/smoke
python -m cc_jax.tabulate runs/table1/*/

Pairs: synthetic, unity_to_a, gcc_to_a, gcc_to_b, gcc_to_cc50, gcc_to_qnrf, gcc_to_worldexpo. Pairs of real sets are in
configs/real_to_real.py. With `-cpu` after the pair (unity_to_a-cpu) it runs for a few hours on CPUs, with one seed. Every
method trains its counter for the same number of steps; the steps of a translator come on top. Processes that are given
the same command, on other cores, GPUs or hosts with the same folders, share the runs. Results: docs/results.
"""

from configs import (
    default,
    demo,
    gcc_to_cc50,
    gcc_to_qnrf,
    gcc_to_sha,
    gcc_to_shb,
    gcc_to_worldexpo,
    unity_to_sha,
)

METHODS = (
    "no_adapt", "cycle_gan", "se_cycle_gan", "se_cycle_gan_jt", "se_fd", "gp", "bla", "mic", "ours", "supervised",
)  # fmt: skip
TRANSLATORS = ("cycle_gan", "se_cycle_gan", "se_cycle_gan_jt")
PAIRS = {
    "unity_to_a": unity_to_sha,
    "gcc_to_a": gcc_to_sha,
    "gcc_to_b": gcc_to_shb,
    "gcc_to_cc50": gcc_to_cc50,
    "gcc_to_qnrf": gcc_to_qnrf,
    "gcc_to_worldexpo": gcc_to_worldexpo,
}


def get_config(arg: str | None = None):
    """Return the config. `arg`: a pair, a pair and "-cpu", "synthetic" (the default) or "smoke"."""
    arg = (
        default.parse_arg(arg, ("synthetic", "smoke", *PAIRS, *(f"{pair}-cpu" for pair in PAIRS)))
        or "synthetic"
    )
    if arg in ("synthetic", "smoke"):
        config = demo.get_config("smoke" if arg == "smoke" else None)
        config.evaluation.every_stage = False
        config.sweep.seeds = () if arg == "smoke" else (0, 1, 2)
        return every_method(config, "smoke" if arg == "smoke" else "cpu")
    pair, _, size = arg.partition("-")
    return every_method(PAIRS[pair].get_config(size or "gpu"), size or "gpu")


def every_method(config, size: str):
    """Return the config with all methods in its sweep, and with translators for `size`: "cpu", "gpu" or "smoke"."""
    config.sweep.methods = METHODS
    for name in TRANSLATORS:
        translator = config.method[name]
        if size == "gpu":
            translator.translate_steps = 40_000
        else:
            # A sixteenth of the paper's operations for each pixel, and a quarter of its pixels.
            translator.width, translator.blocks, translator.critic_width = 16, 4, 16
            translator.translate_steps, translator.translate_crop = 1000, 128
        if size == "smoke":
            translator.translate_steps, translator.width, translator.blocks = 2, 4, 1
            translator.translate_crop = 64
    if size == "smoke":
        config.method.gp.bank, config.method.gp.neighbours = 36, 8
    return config
