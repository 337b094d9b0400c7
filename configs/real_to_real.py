"""From a labelled real set to another real set without labels, as newer and domain-generalizing methods are compared.

python -m cc_jax.train --config=configs/real_to_real.py:b_to_a --workdir=runs/b_to_a
python -m cc_jax.train --config=configs/real_to_real.py:b_to_a-cpu --workdir=runs/b_to_a
python -m cc_jax.tabulate runs/b_to_a/*/

A and B are ShanghaiTech's parts, Q is UCF-QNRF. Pairs: a_to_b, b_to_a, a_to_q, q_to_a, b_to_q, q_to_b. The sizes, and how
processes share the runs, are those of configs/table1.py. Published by MPCount (CVPR 2024, its README), trained much
longer and without any target image (MAE / RMSE):

  A to B  11.4 / 19.7    B to A   99.6 / 182.9    Q to A  65.5 / 110.1
  A to Q 115.7 / 199.8   B to Q  165.6 / 290.4    Q to B  12.3 / 24.1
"""

from configs import default, shb_to_sha, table1

NAMES = {"a": "shanghaitech/part_a", "b": "shanghaitech/part_b", "q": "ucf_qnrf"}
PAIRS = tuple(f"{source}_to_{target}" for source in NAMES for target in NAMES if source != target)
# (Bounds on the scale of the source's crops, share of unscaled crops). B must become denser to look like the others, see
# configs/shb_to_sha.py, and the others sparser to look like B.
SCALES = {"b": ((0.3, 1.0), 0.0), "to_b": ((0.8, 3.0), 0.25), "": ((0.6, 1.6), 0.25)}


def get_config(arg: str | None = None):
    """Return the config. `arg`: a pair ("b_to_a" is the default), a pair and "-cpu", or "smoke"."""
    arg = default.parse_arg(arg, ("smoke", *PAIRS, *(f"{pair}-cpu" for pair in PAIRS))) or "b_to_a"
    pair, _, size = arg.partition("-")
    if arg == "smoke":
        pair, size = "b_to_a", "smoke"
    size = size or "gpu"
    source, _, target = pair.split("_")
    scales, unscaled_share = SCALES[source if source == "b" else "to_b" if target == "b" else ""]
    config = shb_to_sha.real(
        size, source=NAMES[source], target=NAMES[target], scales=scales, unscaled_share=unscaled_share
    )
    return table1.every_method(config, size)
