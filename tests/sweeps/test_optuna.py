"""Search: what is asked, what is told, and what a run is stopped for."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig, OmegaConf
from support.commands import result_in, run
from support.tiny import QUICK

from recsys.cli.train import pruning_callbacks
from recsys.errors import ConfigError, Pruned, TrainingError
from recsys.experiment.train import train
from recsys.runs.folder import write_json
from recsys.sweeps.optuna import open_study, probes, search, split_space, trial_of

optuna = pytest.importorskip("optuna", reason="pip install optuna")
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution  # noqa: E402
from optuna.trial import TrialState  # noqa: E402

TPE = {"_target_": "optuna.samplers.TPESampler", "seed": 1, "n_startup_trials": 5}
NONE = {"_target_": "optuna.pruners.NopPruner"}


def words(*typed: str) -> list:
    return OverridesParser.create().parse_overrides(list(typed))


def options(n_trials: int, pruner: dict | None = None) -> DictConfig:
    return OmegaConf.create({"n_trials": n_trials, "sampler": TPE, "pruner": pruner or NONE})


def launcher(folder: Path, outcome: Callable[[int, dict[str, str]], float | None]) -> Callable:
    """Jobs that end at once: with a value, or with None as failures."""

    def launch(jobs: list[list[str]], first: int) -> None:
        for number, job in enumerate(jobs, first):
            (folder / str(number)).mkdir(parents=True)
            value = outcome(number, dict(word.split("=") for word in job))
            content = (
                {"status": "failed"} if value is None else {"objective": {"value": value}, "overrides": job}
            )
            name = "failed.json" if value is None else "result.json"
            (folder / str(number) / name).write_text(json.dumps(content))

    return launch


def test_hydras_words_become_distributions() -> None:
    space, common = split_space(
        words(
            "model.embedding_dim=16,32",
            "model.hidden=[64],[128,64]",
            "batch_size=range(100,301,100)",
            "optimizer.lr=tag(log,interval(1e-3,1e-1))",
            "model.dropouts=interval(0,0.5)",
            "patience=int(interval(3,9))",
            "data=synthetic",
            "seed=1",
            "seed=2",
        )
    )
    assert space == {
        "model.embedding_dim": CategoricalDistribution(["16", "32"]),
        "model.hidden": CategoricalDistribution(["[64]", "[128,64]"]),
        "batch_size": CategoricalDistribution(["100", "200", "300"]),
        "optimizer.lr": FloatDistribution(1e-3, 1e-1, log=True),
        "model.dropouts": FloatDistribution(0, 0.5),
        "patience": IntDistribution(3, 9),
    }
    assert common == ["data=synthetic", "seed=2"]


@pytest.mark.parametrize(
    ("typed", "told"),
    [
        ("seed=1", "nothing to search"),
        ("optimizer.lr=interval(1,0)", "optimizer.lr=interval"),
        ("loss=bpr,softmax", "loss=bpr,softmax: it changes what trials are chosen by"),
        ("ranking.k=5,10", "ranking.k=5,10: it changes"),
    ],
)
def test_what_is_no_space_is_refused(typed: str, told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        split_space(words(typed))


def test_probes_hold_every_value_and_both_ends() -> None:
    jobs = probes(words("a=1,2,3", "b=interval(0,0.5)", "c=x"))
    assert jobs == [["a=1", "b=0", "c=x"], ["a=2", "b=0.5", "c=x"], ["a=3", "b=0", "c=x"]]


def test_finds_a_minimum_that_it_is_not_told(tmp_path: Path) -> None:
    def bowl(number: int, job: dict[str, str]) -> float:
        return (float(job["x"]) - 0.3) ** 2 + {"p": 0.0, "q": 1.0}[job["kind"]]

    search(tmp_path, words("x=interval(-5,5)", "kind=p,q"), options(40), 4, launcher(tmp_path, bowl))
    study = open_study(tmp_path, options(40))
    assert len(study.trials) == 40
    assert study.best_params["kind"] == "p"
    first = min(trial.value for trial in study.trials[:5])
    assert study.best_value < min(0.1, first), "better than its random start"


def test_finds_the_most_of_what_more_is_better(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    def launch(jobs: list[list[str]], first: int) -> None:
        for number, (word,) in enumerate(jobs, first):
            (tmp_path / str(number)).mkdir()
            objective = {"name": "val/ndcg@10", "mode": "max", "value": float(word.split("=")[1]) / 10}
            (tmp_path / str(number) / "result.json").write_text(json.dumps({"objective": objective}))

    caplog.set_level("INFO")
    search(tmp_path, words("x=1,2,3"), options(8), 4, launch)
    study = open_study(tmp_path, options(8))
    assert len({trial.params["x"] for trial in study.trials}) > 1
    most = max(float(trial.params["x"]) for trial in study.trials)
    assert float(study.best_params["x"]) == most
    assert f"best {most / 10:.4f} (job {study.best_trial.number})" in caplog.text


def test_equal_seeds_ask_for_equal_trials(tmp_path: Path) -> None:
    asked = []
    for folder in (tmp_path / "a", tmp_path / "b"):
        folder.mkdir()
        launch = launcher(folder, lambda number, job: abs(float(job["x"])))
        search(folder, words("x=interval(-5,5)"), options(12), 3, launch)
        asked.append([trial.params for trial in open_study(folder, options(12)).trials])
    assert asked[0] == asked[1]


def test_a_failed_trial_is_marked_and_the_search_goes_on(tmp_path: Path) -> None:
    launch = launcher(tmp_path, lambda number, job: None if number % 2 else 1.0)
    search(tmp_path, words("x=interval(0,1)"), options(6), 2, launch)
    states = [trial.state for trial in open_study(tmp_path, options(6)).trials]
    assert states == [TrialState.COMPLETE, TrialState.FAIL] * 3
    (tmp_path / "none").mkdir()
    with pytest.raises(TrainingError, match="none of 2 trials came to a result"):
        search(
            tmp_path / "none", words("x=1,2"), options(2), 2, launcher(tmp_path / "none", lambda *job: None)
        )


def test_goes_on_where_it_was_killed(tmp_path: Path) -> None:
    def killed(jobs: list[list[str]], first: int) -> None:
        if first == 2:  # one job of the batch had its result, the other was on its way
            launcher(tmp_path, lambda *job: 0.5)(jobs[:1], first)
            raise KeyboardInterrupt
        launcher(tmp_path, lambda *job: 1.0)(jobs, first)

    with pytest.raises(KeyboardInterrupt):
        search(tmp_path, words("x=interval(0,1)"), options(6), 2, killed)
    search(tmp_path, words("x=interval(0,1)"), options(6), 2, launcher(tmp_path, lambda *job: 1.0))
    trials = open_study(tmp_path, options(6)).trials
    assert [trial.value for trial in trials] == [1.0, 1.0, 0.5, None, 1.0, 1.0, 1.0]
    assert trials[3].state is TrialState.FAIL
    assert len({trial.params["x"] for trial in trials}) == 7, "no draw is repeated"


def run_as_trial(
    tmp_path: Path, compose: Callable[..., DictConfig], pruner: dict | None, *overrides: str
) -> dict:
    """Train as job 0 of a search in this folder."""
    write_json(tmp_path / "sweep.json", {"swept": [], "pruner": pruner})
    open_study(tmp_path, options(1)).ask()
    cfg = compose(*QUICK, "max_epochs=5", "schedule.cycle_epochs=2", *overrides)
    return train(cfg, tmp_path / "0", callbacks=pruning_callbacks(cfg, tmp_path / "0")).result


def test_a_run_reports_where_cycles_end(tmp_path: Path, compose) -> None:
    result = run_as_trial(tmp_path, compose, NONE)
    (trial,) = open_study(tmp_path, options(1)).trials
    assert sorted(trial.intermediate_values) == [2, 4, 5]
    assert min(trial.intermediate_values.values()) >= result["objective"]["value"]


def test_a_run_for_lists_reports_so_that_less_is_better(tmp_path: Path, compose) -> None:
    result = run_as_trial(tmp_path, compose, NONE, "loss=bpr")
    (trial,) = open_study(tmp_path, options(1)).trials
    assert sorted(trial.intermediate_values) == [2, 4, 5]
    assert -1 < min(trial.intermediate_values.values()) < 0
    assert min(trial.intermediate_values.values()) >= -result["objective"]["value"]


def test_a_hopeless_run_is_stopped_where_a_cycle_ends(tmp_path: Path, compose) -> None:
    hopeless = {"_target_": "optuna.pruners.ThresholdPruner", "upper": 1e-6, "n_warmup_steps": 3}
    with pytest.raises(Pruned, match=r"pruned after epoch 4 \(val/rmse 0\.\d{4}\)"):
        run_as_trial(tmp_path, compose, hopeless)
    assert not (tmp_path / "0" / "result.json").exists()


def test_a_run_outside_a_search_has_no_trial(tmp_path: Path, compose) -> None:
    assert trial_of(tmp_path / "0") is None
    run_as_trial(tmp_path, compose, None)
    assert open_study(tmp_path, options(1)).trials[0].intermediate_values == {}


def test_a_search_as_a_user_starts_it(tmp_path: Path) -> None:
    sweep = tmp_path / "sweep"
    typed = ["sweep=optuna-embedding-net", *QUICK, "max_epochs=4", "schedule.cycle_epochs=1"]
    typed += ["hydra.sweeper.n_trials=4", "hydra.sweeper.batch=2"]
    typed += ["hydra.sweeper.pruner.n_startup_trials=2"]
    told = run("train", *typed, f"output_dir={sweep}")
    assert "4 of 4 trials, best 0." in told.stderr
    study = open_study(sweep, options(4))
    pruned = [trial.number for trial in study.trials if trial.state is TrialState.PRUNED]
    for trial in study.trials:
        folder = sweep / str(trial.number)
        if trial.number in pruned:
            assert json.loads((folder / "failed.json").read_text())["status"] == "pruned"
        else:
            assert result_in(folder)["objective"]["value"] == trial.value
    assert ("pruned by the search: job " + ", ".join(map(str, pruned)) in told.stdout) == bool(pruned)
    assert [trial.state for trial in study.trials[:2]] == [TrialState.COMPLETE] * 2
    leaderboard = run("compare", f"dir={sweep}", "format=json").stdout
    assert json.loads(leaderboard)[0]["val/rmse"] == pytest.approx(study.best_value, abs=1e-6)
    assert f"job {study.best_trial.number}" in told.stderr.splitlines()[-1]


def test_a_space_with_a_value_that_cannot_work_is_refused_before_the_first_trial(tmp_path: Path) -> None:
    typed = ["hydra/sweeper=optuna", "model.hidden=[4],[0]", "optimizer.lr=interval(0,1)"]
    told = run("train", "-m", *QUICK, *typed, code=1).stderr.splitlines()
    assert set(told) == {
        "optimizer.lr=0: should be greater than 0",
        "model.hidden=[0]: should be greater than 0",
    }
    assert not list(tmp_path.glob("outputs/sweeps/*"))


def test_a_finished_search_has_nothing_left_to_do(tmp_path: Path) -> None:
    typed = words("x=interval(0,1)", "sweep.resume=a", "output_dir=b")
    search(tmp_path, typed, options(2), 2, launcher(tmp_path, lambda *job: 1.0))
    search(tmp_path, typed[:1], options(2), 2, launcher(tmp_path, lambda *job: 1 / 0))
    assert len(open_study(tmp_path, options(2)).trials) == 2


@pytest.mark.parametrize(
    ("typed", "told"),
    [(["x=interval(0,2)"], "another space"), (["x=interval(0,1)", "max_epochs=1"], "another common")],
)
def test_a_search_goes_on_with_what_it_searched(typed: list[str], told: str, tmp_path: Path) -> None:
    launch = launcher(tmp_path, lambda *job: 1.0)
    search(tmp_path, words("x=interval(0,1)"), options(2), 2, launch)
    with pytest.raises(ConfigError, match=told):
        search(tmp_path, words(*typed), options(4), 2, launch)
