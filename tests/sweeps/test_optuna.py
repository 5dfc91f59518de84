"""Hyperparameter search: search spaces, results told to the study, pruning, and whole searches."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig, OmegaConf
from support.commands import result_in, run
from support.tiny import QUICK

from recsys.cli.train import pruning_callbacks
from recsys.errors import ConfigError, Pruned, RunError, TrainingError
from recsys.experiment.train import train
from recsys.sweeps.optuna import check_comparable, open_study, probes, search, split_space
from recsys.sweeps.trial import trial_of

optuna = pytest.importorskip("optuna", reason="pip install optuna")
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution  # noqa: E402
from optuna.trial import TrialState  # noqa: E402

TPE = {"_target_": "optuna.samplers.TPESampler", "seed": 1, "n_startup_trials": 5}
NONE = {"_target_": "optuna.pruners.NopPruner"}


def parsed(*typed: str) -> list:
    return OverridesParser.create().parse_overrides(list(typed))


def options(n_trials: int, pruner: dict | None = None) -> DictConfig:
    return OmegaConf.create({"n_trials": n_trials, "sampler": TPE, "pruner": pruner or NONE})


def write_result(folder: Path, overrides: list[str], value: float, mode: str = "min") -> None:
    content = {"objective": {"name": "val/x", "mode": mode, "value": value}, "overrides": overrides}
    (folder / "result.json").write_text(json.dumps(content))


def launcher(folder: Path, outcome: Callable[[int, dict[str, str]], float | None]) -> Callable:
    """Return a function that writes the results of jobs: the value of `outcome`, or a failure if it is None."""

    def launch(jobs: list[list[str]], first: int) -> None:
        for number, job in enumerate(jobs, first):
            (folder / str(number)).mkdir(parents=True)
            value = outcome(number, dict(override.split("=") for override in job))
            if value is None:
                (folder / str(number) / "failed.json").write_text(json.dumps({"status": "failed"}))
            else:
                write_result(folder / str(number), job, value)

    return launch


def test_overrides_become_distributions() -> None:
    space, common = split_space(
        parsed(
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
    ("typed", "message"),
    [
        ("seed=1", "nothing to search"),
        ("optimizer.lr=interval(1,0)", "optimizer.lr=interval"),
    ],
)
def test_an_invalid_space_is_refused(typed: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        split_space(parsed(typed))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("values", "changed"),
    [
        (["loss=pointwise", "loss=bpr"], "loss, ranking or objective"),
        (["experiment=top-n", "experiment=embedding-net"], "loss, ranking or objective"),
        (["loss=bpr", "loss=bpr ranking.k=5"], "loss, ranking or objective"),
        (["objective=val/rmse", "objective=val/mae"], "loss, ranking or objective"),
        (["loss=bpr", "loss=bpr ranking.threshold=5"], "loss, ranking or objective"),
        (["data=ml-100k", "data=ml-1m"], "data"),
        (["split.val=0.1", "split.val=0.2"], "split"),
        (["loss=bpr", "loss=softmax"], None),
        (["ranking.k=5", "ranking.k=10"], None),
        (["model=bias", "model=history"], None),
    ],
)
def test_trials_of_a_search_have_one_objective(compose, values: list[str], changed: str | None) -> None:
    configs = [compose(*value.split()) for value in values]
    if changed is None:
        check_comparable(configs)
    else:
        with pytest.raises(
            ConfigError, match=f"the search space changes the {changed}, so its trials cannot"
        ):
            check_comparable(configs)


def test_probes_have_every_value_and_both_ends() -> None:
    jobs = probes(parsed("a=1,2,3", "b=interval(0,0.5)", "c=x"))
    assert jobs == [["a=1", "b=0", "c=x"], ["a=2", "b=0.5", "c=x"], ["a=3", "b=0", "c=x"]]


@pytest.mark.slow
def test_a_search_finds_a_minimum(tmp_path: Path) -> None:
    def bowl(number: int, job: dict[str, str]) -> float:
        return (float(job["x"]) - 0.3) ** 2 + {"p": 0.0, "q": 1.0}[job["kind"]]

    search(tmp_path, parsed("x=interval(-5,5)", "kind=p,q"), options(40), 4, launcher(tmp_path, bowl))
    study = open_study(tmp_path, options(40))
    assert len(study.trials) == 40
    assert study.best_params["kind"] == "p"
    first = min(trial.value for trial in study.trials[:5])
    assert study.best_value < min(0.1, first), "better than its random start"


def test_a_search_maximises_an_objective_where_higher_is_better(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def launch(jobs: list[list[str]], first: int) -> None:
        for number, (override,) in enumerate(jobs, first):
            (tmp_path / str(number)).mkdir()
            write_result(tmp_path / str(number), [override], float(override.split("=")[1]) / 10, mode="max")

    caplog.set_level("INFO")
    search(tmp_path, parsed("x=1,2,3"), options(8), 4, launch)
    study = open_study(tmp_path, options(8))
    assert len({trial.params["x"] for trial in study.trials}) > 1
    highest = max(float(trial.params["x"]) for trial in study.trials)
    assert float(study.best_params["x"]) == highest
    assert f"best {highest / 10:.4f} (job {study.best_trial.number})" in caplog.text


def test_equal_seeds_give_equal_trials(tmp_path: Path) -> None:
    asked = []
    for folder in (tmp_path / "a", tmp_path / "b"):
        folder.mkdir()
        launch = launcher(folder, lambda number, job: abs(float(job["x"])))
        search(folder, parsed("x=interval(-5,5)"), options(12), 3, launch)
        asked.append([trial.params for trial in open_study(folder, options(12)).trials])
    assert asked[0] == asked[1]


def test_a_search_continues_after_a_failed_trial(tmp_path: Path) -> None:
    launch = launcher(tmp_path, lambda number, job: None if number % 2 else 1.0)
    search(tmp_path, parsed("x=interval(0,1)"), options(6), 2, launch)
    states = [trial.state for trial in open_study(tmp_path, options(6)).trials]
    assert states == [TrialState.COMPLETE, TrialState.FAIL] * 3


def test_the_first_failed_trial_ends_a_search_with_fail_fast(tmp_path: Path) -> None:
    launch = launcher(tmp_path, lambda number, job: None if number == 3 else 1.0)
    with pytest.raises(TrainingError, match=r"job 3 failed \(hydra\.launcher\.fail_fast=true\)"):
        search(tmp_path, parsed("x=interval(0,1)"), options(10), 2, launch, fail_fast=True)
    assert len(open_study(tmp_path, options(10)).trials) == 4


def test_interrupted_trials_are_replaced(tmp_path: Path) -> None:
    def launch(jobs: list[list[str]], first: int) -> None:
        launcher(tmp_path, lambda *job: 1.0)(jobs[: len(jobs) if first else 1], first)

    search(tmp_path, parsed("x=interval(0,1)"), options(4), 2, launch)
    trials = open_study(tmp_path, options(4)).trials
    assert [trial.value for trial in trials] == [1.0, None, 1.0, 1.0, 1.0]
    with pytest.raises(TrainingError, match=r"jobs 5 to 6 were interrupted.*sweep\.resume="):
        search(tmp_path, parsed("x=interval(0,1)"), options(6), 2, lambda jobs, first: None)


def test_a_search_without_a_completed_trial_fails(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="none of 2 trials completed"):
        search(tmp_path, parsed("x=1,2"), options(2), 2, launcher(tmp_path, lambda *job: None))


def test_a_killed_search_is_resumed(tmp_path: Path) -> None:
    def killed(jobs: list[list[str]], first: int) -> None:
        if first == 2:  # one job of the batch has a result, the other is interrupted
            launcher(tmp_path, lambda *job: 0.5)(jobs[:1], first)
            raise KeyboardInterrupt
        launcher(tmp_path, lambda *job: 1.0)(jobs, first)

    with pytest.raises(KeyboardInterrupt):
        search(tmp_path, parsed("x=interval(0,1)"), options(6), 2, killed)
    search(tmp_path, parsed("x=interval(0,1)"), options(6), 2, launcher(tmp_path, lambda *job: 1.0))
    trials = open_study(tmp_path, options(6)).trials
    assert [trial.value for trial in trials] == [1.0, 1.0, 0.5, None, 1.0, 1.0, 1.0]
    assert trials[3].state is TrialState.FAIL
    assert trials[3].user_attrs == {"interrupted": True}, "it does not count as one of the six trials"
    assert len({trial.params["x"] for trial in trials}) == 7, "no draw is repeated"


@pytest.mark.parametrize("cut", [1, 25])
def test_a_search_is_resumed_after_an_incomplete_last_line(
    tmp_path: Path, cut: int, caplog: pytest.LogCaptureFixture
) -> None:
    search(tmp_path, parsed("x=interval(0,1)"), options(2), 2, launcher(tmp_path, lambda *job: 1.0))
    journal = tmp_path / "optuna.journal"
    journal.write_bytes(journal.read_bytes()[:-cut])
    search(tmp_path, parsed("x=interval(0,1)"), options(4), 2, launcher(tmp_path, lambda *job: 1.0))
    assert "the last line was incomplete and was removed" in caplog.text
    assert [trial.value for trial in open_study(tmp_path, options(4)).trials] == [1.0] * 4


@pytest.mark.parametrize("line", ["}{", "[1]", "\x1b[31m"])
def test_a_damaged_line_of_a_journal_is_told(tmp_path: Path, line: str) -> None:
    search(tmp_path, parsed("x=interval(0,1)"), options(1), 1, launcher(tmp_path, lambda *job: 1.0))
    journal = tmp_path / "optuna.journal"
    lines = journal.read_text().splitlines()
    journal.write_text("\n".join([*lines[:2], line, *lines[2:], ""]))
    with pytest.raises(RunError, match=r"optuna\.journal:3: .* is not a record of Optuna"):
        open_study(tmp_path, options(2))


def test_a_first_line_that_is_not_utf8_is_told(tmp_path: Path) -> None:
    """JSON may also be UTF-16 or UTF-32."""
    (tmp_path / "optuna.journal").write_bytes('{"op_code": 5, "é": 1}'.encode("utf-16-be") + b"\n")
    with pytest.raises(RunError, match=r"optuna\.journal:1: must create a study, but is"):
        open_study(tmp_path, options(1))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda lines: lines[1:], r":1: must create a study, but is .*: the start of the file is missing"),
        (lambda lines: [*lines, '{"op_code":99}'], ": Optuna cannot read it "),
        (lambda lines: [*lines, "{}"], ": Optuna cannot read it "),
    ],
)
def test_a_journal_with_lost_or_foreign_records_is_told(
    tmp_path: Path, damage: Callable[[list[str]], list[str]], message: str
) -> None:
    """By the search, and by a run that is one of its jobs."""
    search(tmp_path, parsed("x=interval(0,1)"), options(1), 1, launcher(tmp_path, lambda *job: 1.0))
    (tmp_path / "sweep.json").write_text(json.dumps({"swept": [], "pruner": NONE}))
    journal = tmp_path / "optuna.journal"
    journal.write_text("\n".join([*damage(journal.read_text().splitlines()), ""]))
    with pytest.raises(RunError, match=rf"optuna\.journal{message}"):
        open_study(tmp_path, options(2))
    with pytest.raises(RunError, match=r"optuna\.journal: Optuna cannot read it "):
        trial_of(tmp_path / "0")


@pytest.mark.parametrize("link", [Path.symlink_to, Path.hardlink_to])
def test_a_run_does_not_write_to_the_journal_of_another_search(
    tmp_path: Path, link: Callable[[Path, Path], None]
) -> None:
    own, other = tmp_path / "own", tmp_path / "other"
    own.mkdir()
    other.mkdir()
    open_study(other, options(1)).ask()
    link(own / "optuna.journal", other / "optuna.journal")
    (own / "sweep.json").write_text(json.dumps({"swept": [], "pruner": NONE}))
    with pytest.raises(RunError, match=r"optuna\.journal: .* link"):
        trial_of(own / "0")
    content = (other / "optuna.journal").read_bytes()[:-1]  # an incomplete last line, which resuming removes
    (other / "optuna.journal").write_bytes(content)
    with pytest.raises(RunError, match=r"optuna\.journal: .* link"):
        open_study(own, options(1))
    assert (other / "optuna.journal").read_bytes() == content


@pytest.mark.parametrize("target", ["/nowhere/optuna.journal", "sweep.json"])
def test_the_lock_of_a_moved_folder_is_removed(tmp_path: Path, target: str) -> None:
    """Optuna would wait for ever for a lock whose target is missing."""
    search(tmp_path, parsed("x=interval(0,1)"), options(1), 1, launcher(tmp_path, lambda *job: 1.0))
    (tmp_path / "sweep.json").touch()
    (tmp_path / "optuna.journal.lock").symlink_to(target)
    search(tmp_path, parsed("x=interval(0,1)"), options(2), 1, launcher(tmp_path, lambda *job: 1.0))
    assert len(open_study(tmp_path, options(2)).trials) == 2


def test_a_folder_in_place_of_the_lock_is_named(tmp_path: Path) -> None:
    """Optuna would wait for half a minute, and then fail."""
    open_study(tmp_path, options(1)).ask()
    (tmp_path / "optuna.journal.lock" / "full").mkdir(parents=True)
    with pytest.raises(RunError, match=r"optuna\.journal\.lock: must be a symbolic link"):
        open_study(tmp_path, options(1))


def test_a_journal_that_is_a_pipe_is_told(tmp_path: Path) -> None:
    """Reading it would wait for ever."""
    os.mkfifo(tmp_path / "optuna.journal")
    with pytest.raises(RunError, match="is not a regular file"):
        open_study(tmp_path, options(1))


def test_a_pruner_that_computes_for_ever_is_refused(tmp_path: Path) -> None:
    """Optuna computes reduction_factor ** min_early_stopping_rate, which has a billion digits."""
    pruner = {"_target_": "optuna.pruners.SuccessiveHalvingPruner", "min_early_stopping_rate": 3 * 10**9}
    inside = {"_target_": "optuna.pruners.PatientPruner", "wrapped_pruner": pruner, "patience": 1}
    open_study(tmp_path, options(1)).ask()
    for recorded in (pruner, inside):
        (tmp_path / "sweep.json").write_text(json.dumps({"swept": [], "pruner": recorded}))
        with pytest.raises(RunError, match=r"sweep\.json: pruner: a number is above 1,000,000"):
            trial_of(tmp_path / "0", trust=True)


@pytest.mark.parametrize("pruner", [{"a": 1}, {"_target_": "optuna.samplers.RandomSampler"}])
def test_a_record_without_a_pruner_is_told(tmp_path: Path, pruner: dict) -> None:
    (tmp_path / "sweep.json").write_text(json.dumps({"swept": [], "pruner": pruner}))
    open_study(tmp_path, options(1)).ask()
    with pytest.raises(RunError, match=r"sweep\.json: pruner: _target_ must be a subclass of"):
        trial_of(tmp_path / "0", trust=True)


@pytest.mark.filterwarnings("ignore:PatientPruner is experimental")
def test_a_pruner_that_fails_is_told(tmp_path: Path, compose) -> None:
    pruner = {"_target_": "optuna.pruners.PatientPruner", "wrapped_pruner": "abc", "patience": 0}
    with pytest.raises(TrainingError, match=r"cannot tell whether to prune this trial .*'prune'"):
        run_as_trial(tmp_path, compose, pruner)


def run_as_trial(
    tmp_path: Path, compose: Callable[..., DictConfig], pruner: dict | None, *overrides: str
) -> dict:
    """Train as job 0 of a search in this folder, and return its result."""
    (tmp_path / "sweep.json").write_text(json.dumps({"swept": [], "pruner": pruner}))
    open_study(tmp_path, options(1)).ask()
    cfg = compose(*QUICK, "max_epochs=5", "schedule.cycle_epochs=2", *overrides)
    return train(cfg, tmp_path / "0", callbacks=pruning_callbacks(cfg, tmp_path / "0", trust=True)).result


def test_a_trial_reports_at_cycle_ends(tmp_path: Path, compose) -> None:
    result = run_as_trial(tmp_path, compose, NONE)
    (trial,) = open_study(tmp_path, options(1)).trials
    assert sorted(trial.intermediate_values) == [2, 4, 5]
    assert min(trial.intermediate_values.values()) >= result["objective"]["value"]


@pytest.mark.slow
def test_a_trial_with_a_ranking_loss_reports_a_value_to_minimise(tmp_path: Path, compose) -> None:
    result = run_as_trial(tmp_path, compose, NONE, "loss=bpr")
    (trial,) = open_study(tmp_path, options(1)).trials
    assert sorted(trial.intermediate_values) == [2, 4, 5]
    assert -1 < min(trial.intermediate_values.values()) < 0
    assert min(trial.intermediate_values.values()) >= -result["objective"]["value"]


def test_a_trial_is_pruned_at_a_cycle_end(tmp_path: Path, compose) -> None:
    pruner = {"_target_": "optuna.pruners.ThresholdPruner", "upper": 1e-6, "n_warmup_steps": 3}
    with pytest.raises(Pruned, match=r"pruned after epoch 4 \(val/rmse 0\.\d{4}\)"):
        run_as_trial(tmp_path, compose, pruner)
    assert not (tmp_path / "0" / "result.json").exists()


@pytest.mark.slow
def test_a_run_without_a_search_or_pruner_has_no_trial(tmp_path: Path, compose) -> None:
    assert trial_of(tmp_path / "0") is None
    run_as_trial(tmp_path, compose, NONE)
    assert trial_of(tmp_path / "1") is None
    assert trial_of(tmp_path / "mine") is None


@pytest.mark.slow
def test_a_search_without_a_pruner_gets_no_reports(tmp_path: Path, compose) -> None:
    run_as_trial(tmp_path, compose, None)
    assert open_study(tmp_path, options(1)).trials[0].intermediate_values == {}


@pytest.mark.slow
def test_a_search_from_the_command_line(tmp_path: Path) -> None:
    sweep = tmp_path / "sweep"
    typed = ["sweep=optuna-embedding-net", *QUICK, "max_epochs=4", "schedule.cycle_epochs=1"]
    typed += ["hydra.sweeper.n_trials=4", "hydra.sweeper.batch=2"]
    typed += ["hydra.sweeper.pruner.n_startup_trials=2"]
    done = run("train", *typed, f"output_dir={sweep}")
    assert "4 of 4 trials, best 0." in done.stderr
    study = open_study(sweep, options(4))
    pruned = [trial.number for trial in study.trials if trial.state is TrialState.PRUNED]
    for trial in study.trials:
        folder = sweep / str(trial.number)
        if trial.number in pruned:
            assert json.loads((folder / "failed.json").read_text())["status"] == "pruned"
        else:
            assert result_in(folder)["objective"]["value"] == trial.value
    assert ("pruned by the search: job " + ", ".join(map(str, pruned)) in done.stdout) == bool(pruned)
    assert [trial.state for trial in study.trials[:2]] == [TrialState.COMPLETE] * 2
    leaderboard = run("compare", f"dir={sweep}", "format=json").stdout
    assert json.loads(leaderboard)[0]["val/rmse"] == pytest.approx(study.best_value, abs=1e-6)
    assert f"job {study.best_trial.number}" in done.stderr.splitlines()[-1]


@pytest.mark.slow
def test_an_invalid_value_in_the_space_is_refused_before_the_first_trial(tmp_path: Path) -> None:
    typed = ["hydra/sweeper=optuna", "model.hidden=[4],[0]", "optimizer.lr=interval(0,1)"]
    errors = run("train", "-m", *QUICK, *typed, code=1).stderr.splitlines()
    assert set(errors) == {
        "optimizer.lr=0: should be greater than 0",
        "model.hidden=[0]: should be greater than 0",
    }
    assert not (tmp_path / "outputs").exists()


def test_a_finished_search_runs_no_more_trials(tmp_path: Path) -> None:
    typed = parsed("x=interval(0,1)", "sweep.resume=a", "output_dir=b")
    search(tmp_path, typed, options(2), 2, launcher(tmp_path, lambda *job: 1.0))
    search(tmp_path, typed[:1], options(2), 2, launcher(tmp_path, lambda *job: 1 / 0))
    assert len(open_study(tmp_path, options(2)).trials) == 2


@pytest.mark.parametrize(
    ("typed", "message"),
    [
        (["x=interval(0,2)"], r"this search has the search space .*high=1"),
        (
            ["x=interval(0,1)", "max_epochs=1"],
            r"this search has the common overrides \[\], not \['max_epochs=1'\]",
        ),
    ],
)
def test_a_resumed_search_keeps_its_space(typed: list[str], message: str, tmp_path: Path) -> None:
    launch = launcher(tmp_path, lambda *job: 1.0)
    search(tmp_path, parsed("x=interval(0,1)"), options(2), 2, launch)
    with pytest.raises(ConfigError, match=message):
        search(tmp_path, parsed(*typed), options(4), 2, launch)
