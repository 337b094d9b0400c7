"""Which runs a sweep stands for, and that folds take turns."""

from cc_jax import sweep
from configs import demo


def test_without_a_sweep_the_run_itself():
    config = demo.get_config()
    assert sweep.runs(config) == {".": config}


def test_methods_and_seeds_have_workdirs_of_their_own():
    found = sweep.runs(demo.get_config("3seeds"))
    assert list(found)[:4] == ["no_adapt-seed0", "no_adapt-seed1", "no_adapt-seed2", "ours-seed0"]
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
