"""The runs of a sweep: their configs and workdirs."""

import fake_runs
import pytest

from cc_jax import build
from cc_jax.errors import Busy, ConfigError
from cc_jax.training import sweep
from configs import ablation, demo


def test_without_a_sweep_the_run_itself():
    config = demo.get_config()
    assert sweep.runs(config) == {".": config}


def test_methods_and_seeds_have_workdirs_of_their_own():
    found = sweep.runs(demo.get_config("3seeds"))
    assert list(found)[:4] == ["no_adapt-seed0", "ours-seed0", "supervised-seed0", "no_adapt-seed1"]
    assert {(one.method.name, one.seed) for one in found.values()} == {
        (method, seed) for method in ("no_adapt", "ours", "supervised") for seed in range(3)
    }
    assert not any(one.sweep.methods or one.sweep.seeds or one.sweep.folds for one in found.values())


def test_each_fold_is_tested_on_once_by_a_run_that_has_not_seen_it():
    config = demo.get_config()
    folds = tuple(f"fold_{n}" for n in range(1, 6))
    config.sweep.folds, config.sweep.methods = folds, ("no_adapt", "ours")
    found = sweep.runs(config)
    assert list(found)[:2] == ["no_adapt-fold_1", "no_adapt-fold_2"] and len(found) == 10
    for method in ("no_adapt", "ours"):
        runs = [found[f"{method}-{fold}"] for fold in folds]
        assert tuple(one.target.test_split for one in runs) == folds
        for one in runs:
            assert set(one.target.split.split("+")) == set(folds) - {one.target.test_split}


def test_a_variant_changes_what_it_names_and_nothing_else():
    config = demo.get_config()
    config.sweep.variants = (
        ("plain", {}),
        ("no rule", {"method.ours.rule": "none", "model.head": "quarters"}),
    )
    config.sweep.seeds = (0, 1)
    found = sweep.runs(config)
    assert list(found) == ["plain-seed0", "no_rule-seed0", "plain-seed1", "no_rule-seed1"]
    changed = found["no_rule-seed1"]
    assert (changed.variant, changed.method.ours.rule, changed.model.head, changed.seed) == (
        "no rule", "none", "quarters", 1,
    )  # fmt: skip
    plain = found["plain-seed1"]
    plain.variant, plain.method.ours.rule, plain.model.head = "no rule", "none", "quarters"
    assert plain == changed


def test_wrong_variants_are_refused():
    config = demo.get_config()
    config.sweep.variants = (("a", {"method.ours.rulle": "none"}),)
    with pytest.raises(ConfigError, match="rulle"):
        sweep.runs(config)
    config.sweep.variants = (("a", {}), ("a", {"seed": 1}))
    with pytest.raises(ConfigError, match="same name"):
        sweep.runs(config)


@pytest.mark.parametrize("arg", ["synthetic", "uncertainty", "b_to_a", "smoke"])
def test_the_ablation_names_fields_and_values_that_there_are(arg):
    config = ablation.get_config(arg)
    found = sweep.runs(config)
    assert len(found) == len(config.sweep.variants) * max(1, len(config.sweep.seeds))
    for one in found.values():
        assert sum(stage.steps for stage in build.method(one).stages()) == config.steps
        build.counting_network(one)


def test_a_run_in_other_hands_is_passed_over(tmp_path, monkeypatch, capsys):
    """A process leaves the runs that another process trains to it, and says so."""
    trained = []

    def train(config, workdir):
        if config.seed == 1:
            raise Busy("another process")
        trained.append(config.seed)
        fake_runs.workdir(workdir, seed=config.seed)

    config = demo.get_config()
    config.sweep.seeds = (0, 1, 2)
    monkeypatch.setattr(sweep.loop, "train_and_adapt", train)
    sweep.run(config, tmp_path)
    assert trained == [0, 2] and "other processes are training ours-seed1" in capsys.readouterr().out
    config.sweep.seeds = (1,)
    with pytest.raises(Busy):
        sweep.run(config, tmp_path)
