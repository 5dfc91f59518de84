from pathlib import Path

from support.run_records import write_failed, write_folds, write_run

from recsys.leaderboard.board import Board
from recsys.leaderboard.heading import facts, headline
from recsys.leaderboard.ranking import rank
from recsys.leaderboard.runs import read_runs


def board_of(folder: Path) -> Board:
    return Board(rank(read_runs(folder)))


def test_the_headline_names_what_varies_the_model_and_the_data(tmp_path: Path) -> None:
    for job, hidden in enumerate(("[8]", "[4,4]")):
        write_run(tmp_path / "grid" / str(job), [f"model.embedding_dim={job}", f"model.hidden={hidden}"], 0.9)
        write_run(tmp_path / "seeds" / str(job), [f"seed={job}"], 0.9)
        write_run(tmp_path / "models" / str(job), [f"model={job}"], 0.9, names=("ml", f"net{job}"))
    write_run(tmp_path / "single" / "0", [], 0.9)
    headlines = {
        folder: headline(board_of(tmp_path / folder)) for folder in ("grid", "seeds", "models", "single")
    }
    assert headlines == {
        "grid": "embedding_dim \N{MULTIPLICATION SIGN} hidden: net on ml",
        "seeds": "seed: net on ml",
        "models": "model on ml",
        "single": "net on ml",
    }


def test_the_facts_describe_data_split_and_runs(tmp_path: Path) -> None:
    for dim in (16, 8, 128):
        write_run(tmp_path / str(dim), [f"model.embedding_dim={dim}"], 0.9)
    write_failed(tmp_path / "8b", "no")
    write_failed(tmp_path / "9", "pruned", status="pruned")
    unfinished = [run for run in read_runs(tmp_path) if not run.completed]
    assert facts(board_of(tmp_path), unfinished) == {
        "data": "ml, 80 training, 10 validation and 20 test rows",
        "split": "random(seed=0)",
        "model": "net",
        "model.embedding_dim": "8, 16, 128",
        "runs": "3 completed, 1 failed, 1 pruned",
        "ranked by": "val/rmse, lower is better",
    }


def test_the_facts_of_folds_and_of_many_values_are_short(tmp_path: Path) -> None:
    write_folds(tmp_path / "folds")
    of_folds = facts(board_of(tmp_path / "folds"), [])
    assert (of_folds["split"], of_folds["split.fold"]) == ("kfold(...) and 2 more", "0, 1, 2")
    for job in range(20):
        write_run(tmp_path / "search" / str(job), [f"optimizer.lr=0.{job + 10}"], 0.9)
    assert facts(board_of(tmp_path / "search"), [])["optimizer.lr"] == "20 values, 0.10 to 0.29"
