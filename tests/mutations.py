"""Removes the central terms of each method, one after the other, and shows which test fails then.

python tests/mutations.py [NAME ...]     # names of methods; all of them take ten minutes on one core

A term whose removal no test notices is printed as NOT NOTICED, and the exit code is 1. A method without a mutation is listed
as such. The sources are changed in a copy. tests/methods_test.py checks that the replaced text still exists in them.
"""

import dataclasses
import pathlib
import shutil
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from cc_jax import registry  # noqa: E402


@dataclasses.dataclass(frozen=True)
class Mutation:
    """A change of a method that a test should notice.

    Attributes:
      method: name of the method.
      term: what is taken out, in words.
      file: file below cc_jax/methods, without its suffix.
      old, new: text that occurs once in the file, and what replaces it.
      which: pytest's -k expression for the tests that should fail.
      test: file of these tests, without `_test.py`.
    """

    method: str
    term: str
    file: str
    old: str
    new: str
    which: str
    test: str = "adaptation"


MUTATIONS = (
    Mutation("no_adapt", "the source's labels", "no_adapt", 'labelled_update("source"', 'labelled_update("target"',
             "one_domain", "methods"),
    Mutation("supervised", "the target's labels", "supervised", 'labelled_update("target"', 'labelled_update("source"',
             "one_domain", "methods"),
    Mutation("cycle_gan", "adversarial loss", "parts/translation", "total = adversarial + self", "total = self",
             "translators_loss"),
    Mutation("cycle_gan", "cycle loss", "parts/translation", "(cycle + self.identity_weight * identity)",
             "(self.identity_weight * identity)", "translators_loss"),
    Mutation("cycle_gan", "identity loss", "parts/translation", "(cycle + self.identity_weight * identity)", "cycle",
             "translators_loss"),
    Mutation("cycle_gan", "translations shown to the critic", "parts/translation",
             " + jnp.mean(realness(d, shown[d]) ** 2)", "", "critic_learns"),
    Mutation("cycle_gan", "counting on translated images", "cycle_gan", "replace(source, examples=images)",
             "replace(source)", "translated_source"),
    Mutation("se_cycle_gan", "SSIM loss", "se_cycle_gan", "return self.ssim_weight * sum(",
             "return 0.0 * sum(", "translators_loss"),
    Mutation("se_cycle_gan_jt", "the count in the translator's loss", "parts/translation",
             "total += task_loss(fake) if task_loss else 0.0", "", "joint_training"),
    Mutation("se_cycle_gan_jt", "counting on translated crops", "se_cycle_gan_jt",
             '{**batch["source"], "image": in_pixels(translated)}', 'batch["source"]', "joint_training"),
    Mutation("se_fd", "adversarial loss", "se_fd", " + self.adversarial_weight * adversarial", "", "se_fd"),
    Mutation("se_fd", "the extractor's mask", "se_fd", "features[d] * jax.nn.sigmoid(crowd[d])", "features[d]",
             "se_fd"),
    Mutation("se_fd", "what the extractor learns", "se_fd", "return jnp.sum(weight * error)",
             "return 0.0 * jnp.sum(weight * error)", "se_fd"),
    Mutation("se_fd", "the extractor's loss in the whole", "se_fd", " + self.mask_weight * mask", "", "se_fd"),
    Mutation("gp", "the target's loss", "gp", "self.unlabelled_weight * jnp.where(ready, distance, 0.0)", "0.0", "gp_"),
    Mutation("gp", "weights by the inverse variance", "gp", "squared / variance", "squared", "gp_"),
    Mutation("gp", "the bank", "gp", '{"bank": remember(bank, latents)}', '{"bank": bank}', "gp_"),
    Mutation("bla", "adversarial loss", "bla", "density + self.adversarial_weight * adversarial,", "density,", "bla"),
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
    """Return the file that the mutation changes."""
    return root / "cc_jax" / "methods" / f"{mutation.file}.py"


def failing(mutation: Mutation) -> str:
    """Return the first test that fails with the mutation, "" if none does. Raises RuntimeError if no test runs."""
    with tempfile.TemporaryDirectory() as folder:
        root = pathlib.Path(folder)
        for name in ("cc_jax", "configs", "tests"):
            shutil.copytree(ROOT / name, root / name, ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copy(ROOT / "pyproject.toml", root)
        path = source(mutation, root)
        path.write_text(path.read_text().replace(mutation.old, mutation.new))
        command = [sys.executable, "-m", "pytest", "-q", "-x", "--no-header", "-p", "no:cacheprovider",
                   f"tests/{mutation.test}_test.py", "-k", mutation.which]  # fmt: skip
        done = subprocess.run(command, cwd=root, capture_output=True, text=True)
    if done.returncode not in (0, 1):
        raise RuntimeError(f"{' '.join(command)}: {done.stdout}{done.stderr}")
    failed = [line for line in done.stdout.splitlines() if line.startswith("FAILED")]
    return failed[0].split("::")[1].split(" - ")[0] if failed else ""


def main(names: list[str]) -> int:
    """Try the mutations of these methods, or of all. Returns the exit code."""
    known = registry.names("methods")
    unknown = sorted({*names} - {*known})
    if unknown:
        print(f"no method is called {', '.join(unknown)}; there are: {', '.join(known)}", file=sys.stderr)
        return 2
    missed = 0
    for name in names or known:
        own = [mutation for mutation in MUTATIONS if mutation.method == name]
        if not own:
            print(f"{name}: has no mutation")
        for mutation in own:
            found = failing(mutation)
            missed += not found
            print(f"{name}, without {mutation.term}: {found or 'NOT NOTICED'}", flush=True)
    return min(missed, 1)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
