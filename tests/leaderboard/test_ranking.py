import shlex
from pathlib import Path

import pytest
from support.run_records import write_ranking_run, write_run

from recsys.errors import RunError
from recsys.leaderboard.command import best_command
from recsys.leaderboard.ranking import rank
from recsys.leaderboard.runs import read_runs
from recsys.leaderboard.table import table


def test_folds_are_averaged_and_a_configuration_without_some_of_them_is_ranked_last(tmp_path: Path) -> None:
    for job, (lr, fold) in enumerate([(1, 0), (1, 1), (2, 0), (2, 1)]):
        overrides = [f"optimizer.lr={lr}", f"split.fold={fold}"]
        write_run(tmp_path / str(job), overrides, lr + fold, split=f"k {fold}")
    assert [own.mean("val/rmse") for own in rank(read_runs(tmp_path))] == [1.5, 2.5]
    write_run(tmp_path / "8", ["optimizer.lr=3", "split.fold=0"], 0.1, split="k 0")
    configurations = rank(read_runs(tmp_path))
    assert [own.choices["optimizer.lr"] for own in configurations] == ["1", "2", "3"]
    assert [row["runs"] for row in table(configurations)] == [2, 2, "1, 1 missing"]
    write_run(tmp_path / "9", ["optimizer.lr=4", "split.fold=2"], 0.1, split="k 2")
    with pytest.raises(RunError, match="have different test sets"):
        rank(read_runs(tmp_path))


def test_runs_with_different_test_sets_are_not_compared(tmp_path: Path) -> None:
    write_run(tmp_path / "0", ["split.test=0.1"], 0.9, split="random aa")
    write_run(tmp_path / "1", ["split.test=0.2"], 0.8, split="random bb")
    with pytest.raises(RunError, match=r"0 and 1 have different test sets .*aa.*bb"):
        rank(read_runs(tmp_path))


def test_the_highest_ndcg_is_the_best(tmp_path: Path) -> None:
    for job, (dim, seed, ndcg) in enumerate([(4, 1, 0.1), (8, 1, 0.3), (8, 2, 0.34), (16, 1, 0.2)]):
        overrides = ["loss=bpr", f"model.embedding_dim={dim}", f"seed={seed}"]
        write_ranking_run(tmp_path / str(job), overrides, ndcg)
    configurations = rank(read_runs(tmp_path))
    rows = table(configurations)
    assert [row["val/ndcg@10"] for row in rows] == [0.32, 0.2, 0.1]
    assert [row["test/ndcg@10"] for row in rows] == [pytest.approx(0.31), "", ""]
    assert best_command(configurations) == "recsys-train -m loss=bpr model.embedding_dim=8 seed=1,2"


def test_runs_with_different_losses_are_compared_by_a_metric_that_all_have(tmp_path: Path) -> None:
    write_ranking_run(tmp_path / "0", ["loss=pointwise"], 0.1, rmse=0.9)
    write_ranking_run(tmp_path / "1", ["loss=bpr"], 0.3)
    assert [own.choices["loss"] for own in rank(read_runs(tmp_path))] == ["bpr", "pointwise"]
    write_run(tmp_path / "2", ["loss=mine"], 0.8)
    with pytest.raises(
        RunError, match=r"objectives val/rmse \('0', '2'\) and val/ndcg@10 \('1'\), and not one of them"
    ):
        rank(read_runs(tmp_path))


def test_experiments_are_configurations(tmp_path: Path) -> None:
    for job, experiment in enumerate(("small", "big")):
        write_run(tmp_path / str(job), [f"experiment={experiment}"], 0.9 + job / 100)
    assert [row["experiment"] for row in table(rank(read_runs(tmp_path)))] == ["small", "big"]


def test_the_best_command_does_not_sweep(tmp_path: Path) -> None:
    overrides = ["sweep=layer-widths", "output_dir=x", "model.hidden=[100,200]", "seed=2"]
    write_run(tmp_path / "0", overrides, 0.9)
    command = ["recsys-train", "model.hidden=[100,200]", "seed=2"]
    assert shlex.split(best_command(rank(read_runs(tmp_path)))) == command


def test_the_best_command_keeps_a_sweep_file_of_the_user(tmp_path: Path) -> None:
    write_run(tmp_path / "0", ["sweep=mine", "seed=1"], 0.9)
    assert best_command(rank(read_runs(tmp_path))) == "recsys-train sweep=mine seed=1 hydra.mode=RUN"


def test_runs_that_differ_by_their_trackers_are_one_configuration(tmp_path: Path) -> None:
    for job, logger in enumerate(("logger=none", "logger=mlflow", "+logger.mlflow.tags.team=a")):
        write_run(tmp_path / str(job), ["model=bias", logger, f"seed={job}"], 0.9)
    assert [row["runs"] for row in table(rank(read_runs(tmp_path)))] == [3]


def test_runs_of_one_configuration_on_different_data_are_not_averaged(tmp_path: Path) -> None:
    for job in (0, 1):
        write_run(tmp_path / str(job), ["model=net"], 0.9, split=f"random {job}")
    file = tmp_path / "1" / "result.json"
    file.write_text(file.read_text().replace('"sha256": "d"', '"sha256": "e"'))
    with pytest.raises(RunError, match="0 and 1 have different test sets"):
        rank(read_runs(tmp_path))
