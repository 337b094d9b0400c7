"""Takes the central term out of each method, one after the other, and shows which test fails then.

python tests/mutations.py [NAME ...]     # of methods; all: ten minutes on one core

A term whose removal no test notices is printed as NOT NOTICED, and the exit code is 1. The sources are changed in a copy.
tests/methods_test.py checks that what is replaced here still stands in them.
"""

import dataclasses
import pathlib
import shutil
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[1]


@dataclasses.dataclass(frozen=True)
class Mutation:
    """`old`, which stands once in cc_jax/methods/`file`.py, becomes `new`; tests/`test`_test.py -k `which` is to fail."""

    method: str
    term: str
    file: str
    old: str
    new: str
    which: str
    test: str = "adaptation"


MUTATIONS = (
    Mutation("no_adapt", "the source's labels", "no_adapt", 'count_update("source"', 'count_update("target"',
             "one_domains", "methods"),
    Mutation("supervised", "the target's labels", "supervised", 'count_update("target"', 'count_update("source"',
             "one_domains", "methods"),
    Mutation("cycle_gan", "adversarial loss", "translation", "total = adversarial + self", "total = self",
             "translators_loss"),
    Mutation("cycle_gan", "cycle loss", "translation", "(cycle + self.identity_weight * identity)",
             "(self.identity_weight * identity)", "translators_loss"),
    Mutation("cycle_gan", "identity loss", "translation", "(cycle + self.identity_weight * identity)", "cycle",
             "translators_loss"),
    Mutation("cycle_gan", "translations shown to the critic", "translation", " + jnp.mean(judge(d, shown[d]) ** 2)", "",
             "critic_learns"),
    Mutation("cycle_gan", "counting on translated images", "cycle_gan", "replace(source, examples=images)",
             "replace(source)", "translated_source"),
    Mutation("se_cycle_gan", "SSIM loss", "se_cycle_gan", "return self.ssim_weight * sum(",
             "return 0.0 * sum(", "translators_loss"),
    Mutation("se_cycle_gan_jt", "the count in the translator's loss", "translation",
             "total += task(fake) if task else 0.0", "", "joint_training"),
    Mutation("se_cycle_gan_jt", "counting on translated crops", "se_cycle_gan_jt",
             '{**batch["source"], "image": in_pixels(whole)}', 'batch["source"]', "joint_training"),
    Mutation("se_fd", "adversarial loss", "se_fd", " + self.adversarial_weight * adversarial", "", "se_fd"),
    Mutation("se_fd", "the extractor's mask", "se_fd", "features[d] * jax.nn.sigmoid(crowd[d])", "features[d]",
             "se_fd"),
    Mutation("se_fd", "what the extractor learns", "se_fd", "return jnp.sum(weight * error)",
             "return 0.0 * jnp.sum(weight * error)", "se_fd"),
    Mutation("se_fd", "the extractor's loss in the whole", "se_fd", " + self.mask_weight * mask", "", "se_fd"),
    Mutation("gp", "the target's loss", "gp", "self.unlabelled_weight * jnp.where(ready, distance, 0.0)", "0.0", "gp_"),
    Mutation("gp", "weights by the inverse variance", "gp", "squared / variance", "squared", "gp_"),
    Mutation("gp", "the bank", "gp", '{"bank": remember(bank, latents)}', '{"bank": bank}', "gp_"),
    Mutation("bla", "adversarial loss", "bla", "density + self.adversarial_weight * fooled,", "density,", "bla"),
    Mutation("bla", "crowd and background apart", "bla", "(crowd, ~crowd)", "(crowd | True, crowd | True)", "bla"),
    Mutation("mic", "consistency", "mic", "return density + weight * consistency,", "return density,", "mic"),
    Mutation("mic", "masking", "mic", 'masked(target["image"], mask_rng, self.patch, self.ratio)', 'target["image"]',
             "mic"),
    Mutation("mic", "the moving average", "base", "state.variables(state.ema), crops",
             'state.variables(state.params["counter"]), crops', "mic"),
    Mutation("ours", "which way up", "ours", "density + self.upside_down_weight * upside_down", "density",
             "stage_1_learns", "methods"),
    Mutation("ours", "pseudo labels", "ours", "return density + self.pseudo_weight * pseudo,", "return density,",
             "moving_average", "methods"),
    Mutation("ours", "choosing by uncertainty", "ours", "selection.of_batch(samples[..., 0], **self._choice())[..., None]",
             "jnp.ones_like(samples[0])", "certain", "methods"),
    Mutation("ours", "choosing by uncertainty, in rounds", "ours",
             "selection.of_images([p.samples for p in predictions], **self._choice())",
             "[jnp.ones(p.samples.shape[1:]) for p in predictions]", "convergence", "methods"),
)  # fmt: skip


def source(mutation: Mutation, root: pathlib.Path = ROOT) -> pathlib.Path:
    """The file that it changes."""
    return root / "cc_jax" / "methods" / f"{mutation.file}.py"


def failing(mutation: Mutation) -> str:
    """The first test that fails with it; empty if none does. Raises RuntimeError where no test ran."""
    with tempfile.TemporaryDirectory() as folder:
        root = pathlib.Path(folder)
        for name in ("cc_jax", "configs", "tests"):
            shutil.copytree(ROOT / name, root / name, ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copy(ROOT / "pyproject.toml", root)
        path = source(mutation, root)
        path.write_text(path.read_text().replace(mutation.old, mutation.new))
        command = [sys.executable, "-m", "pytest", "-q", "-x", "--no-header", "-p", "no:cacheprovider", "-m", "not slow",
                   f"tests/{mutation.test}_test.py", "-k", mutation.which]  # fmt: skip
        done = subprocess.run(command, cwd=root, capture_output=True, text=True)
    if done.returncode not in (0, 1):
        raise RuntimeError(f"{' '.join(command)}: {done.stdout}{done.stderr}")
    failed = [line for line in done.stdout.splitlines() if line.startswith("FAILED")]
    return failed[0].split("::")[1].split(" - ")[0] if failed else ""


def main(names: list[str]) -> int:
    missed = 0
    for mutation in MUTATIONS:
        if names and mutation.method not in names:
            continue
        found = failing(mutation)
        missed += not found
        print(f"{mutation.method}, without {mutation.term}: {found or 'NOT NOTICED'}", flush=True)
    return min(missed, 1)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
