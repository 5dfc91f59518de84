import csv
import io
import json
from pathlib import Path

import pytest
from support.commands import run
from support.run_records import write_failed, write_folds, write_ranking_run, write_run

from recsys.errors import ConfigError
from recsys.leaderboard.report import compare


def test_failures_and_the_best_command_are_printed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_run(tmp_path / "0", ["model.hidden=[100,200]", "seed=2"], 0.9)
    write_failed(tmp_path / "10", "TrainingError: nan", ["seed=3"])
    write_failed(tmp_path / "11", "pruned after epoch 2", ["seed=4"], status="pruned")
    compare([tmp_path])
    printed = capsys.readouterr().out
    assert "failed: job 10: TrainingError: nan" in printed
    assert "pruned by the search: job 11" in printed
    assert "best: recsys-train 'model.hidden=[100,200]' seed=2" in printed


@pytest.mark.parametrize(
    ("form", "start"), [("markdown", "| job | val/rmse |"), ("csv", "job,val/rmse,"), ("json", "[")]
)
def test_formats_for_programs_print_only_rows(form: str, start: str, tmp_path: Path, capsys) -> None:
    write_run(tmp_path / "0", ["seed=1"], 0.9)
    compare([tmp_path], form)
    printed = capsys.readouterr().out
    assert printed.startswith(start)
    assert "best:" not in printed


def test_every_format_has_the_test_columns(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_folds(tmp_path)
    compare([tmp_path])
    printed = capsys.readouterr().out
    assert "diff   ┃ p " in printed
    assert "3 splits" in printed
    assert "p over splits: two-sided corrected t test of Nadeau and Bengio" in printed
    compare([tmp_path], "json")
    rows = json.loads(capsys.readouterr().out)
    assert [row["difference"] for row in rows] == ["", 0.02, 0.035]
    compare([tmp_path], "csv")
    rows = csv.DictReader(io.StringIO(capsys.readouterr().out))
    assert [row["pairs"] for row in rows] == ["", "3 splits", "2 splits"]
    compare([tmp_path], "markdown")
    assert "| difference | p | pairs |" in capsys.readouterr().out


def test_the_limits_of_a_test_over_seeds_are_printed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for dim in (4, 8):
        for seed in (1, 2):
            write_run(tmp_path / f"{dim}-{seed}", [f"model.embedding_dim={dim}", f"seed={seed}"], dim / seed)
    compare([tmp_path])
    printed = capsys.readouterr().out
    assert "no p" not in printed
    assert "p over 2 seeds: two-sided paired t test" in printed
    assert "not the choice of the split" in printed
    assert "pairs" not in printed, "the explanation has the number already"


def test_the_title_names_the_objective(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for job in (0, 1):
        write_ranking_run(tmp_path / str(job), [f"model.embedding_dim={job + 1}"], job / 10)
    compare([tmp_path])
    assert "2 runs, by val/ndcg@10" in capsys.readouterr().out


def test_values_are_not_markup(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for job, hidden in enumerate(("[/b]|x", "[x]")):
        write_run(tmp_path / str(job), [f"model.hidden={hidden}"], 0.9)
    compare([tmp_path])
    assert "[/b]|x" in capsys.readouterr().out
    compare([tmp_path], "markdown")
    assert "| [/b]\\|x |" in capsys.readouterr().out


def test_a_page_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    write_run(tmp_path / "0", [], 0.9)
    with pytest.raises(ConfigError, match=r"html=.*none/page.html: No such file"):
        compare([tmp_path], page=tmp_path / "none" / "page.html")


def test_runs_of_several_folders_are_compared(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_run(tmp_path / "a" / "0", ["lr=1"], 0.9)
    write_run(tmp_path / "b", ["lr=2"], 0.8)
    compare([tmp_path / "a", tmp_path / "b"], "csv")
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(",")[:2] for line in lines[1:]] == [
        [str(tmp_path / "b"), "2"],
        [str(tmp_path / "a" / "0"), "1"],
    ]
    compare([tmp_path / "a", tmp_path / "b"])
    assert f"run: {tmp_path / 'b'}" in capsys.readouterr().out.splitlines()


def test_the_same_training_twice_is_not_a_repetition(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for job, (lr, seed) in enumerate([(1, 1), (1, 2), (1, 1), (2, 1)]):
        write_run(tmp_path / str(job), [f"lr={lr}", f"seed={seed}"], 0.8 + job / 100)
    compare([tmp_path], "csv")
    assert [line.split(",")[:3] for line in capsys.readouterr().out.splitlines()] == [
        ["runs", "lr", "val/rmse"],
        ["2", "1", "0.805"],
        ["1", "2", "0.83"],
    ]
    compare([tmp_path])
    assert "repeats of the same configuration, split and seed, counted once: job 2" in capsys.readouterr().out


def test_paths_are_shortened_to_file_names(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_run(tmp_path / "0", ["data.items=/long/path/items.csv"], 0.9)
    write_run(tmp_path / "1", ["data.items=/long/path/more.csv"], 0.8)
    compare([tmp_path])
    out = capsys.readouterr().out
    assert "/long/path/more.csv" in out, "the best command"
    assert "/long/path/items.csv" not in out
    write_run(tmp_path / "2", ["data.items=/other/items.csv"], 0.7)
    compare([tmp_path])
    assert "/long/path/items.csv" in capsys.readouterr().out, "two files have this name"


def test_a_page_is_written_only_if_a_run_has_finished(tmp_path: Path) -> None:
    write_failed(tmp_path / "sweep" / "0", "x", ["a=1"])
    failed = run("compare", f"dir={tmp_path / 'sweep'}", "html=page.html", code=1)
    assert "failed: job 0: x" in failed.stdout
    assert failed.stderr == "html=page.html: not written, because no run has finished\n"
    write_run(tmp_path / "sweep" / "1", ["a=2"], 0.9)
    run("compare", f"dir={tmp_path / 'sweep'}", "html=page.html")
    assert (tmp_path / "page.html").is_file()
