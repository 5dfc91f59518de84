import json
import shlex
from pathlib import Path

import pytest

from recsys.cli.compare import find_sweep
from recsys.errors import ConfigError, RunError
from recsys.leaderboard.html import pareto_front, plot_cost
from recsys.leaderboard.report import compare
from recsys.leaderboard.table import best_command, rank, read_runs, table


def write_run(
    folder: Path, overrides: list[str], val: float, test: float = 0.9, split: str = "random(seed=0) aa"
) -> None:
    folder.mkdir(parents=True)
    seeds = [int(word.removeprefix("seed=")) for word in overrides if word.startswith("seed=")]
    content = {
        "status": "completed",
        "seed": seeds[0] if seeds else 1,
        "overrides": overrides,
        "objective": {"name": "val/rmse", "value": val, "epoch": 3},
        "metrics": {"val/rmse": val, "test/rmse": test},
        "data": {"sha256": "d", "split": split, "train": 80, "val": 10, "test": 20},
        "model": {"parameters": 10},
        "time": {"seconds": 2.0},
    }
    (folder / "result.json").write_text(json.dumps(content))


def test_ranks_by_validation_and_shows_the_test_of_the_chosen_one_alone(tmp_path: Path) -> None:
    for job, (dim, val, test) in enumerate([(4, 0.95, 0.80), (8, 0.91, 0.93), (16, 0.92, 0.90)]):
        write_run(tmp_path / str(job), ["model=bias", f"model.embedding_dim={dim}"], val, test)
    lines = rank(read_runs(tmp_path))
    rows = table(lines)
    assert [row["model.embedding_dim"] for row in rows] == ["8", "16", "4"]
    assert [row["test/rmse"] for row in rows] == [0.93, "", ""]
    assert [row["test/rmse"] for row in table(lines, test=True)] == [0.93, 0.90, 0.80]
    assert "model" not in rows[0], "what is the same everywhere is no column"
    assert [row["job"] for row in rows] == ["1", "2", "0"]


def test_seeds_become_mean_and_deviation(tmp_path: Path) -> None:
    for job, (dim, seed, val) in enumerate([(4, 1, 0.90), (4, 2, 0.92), (8, 1, 0.95), (8, 2, 0.95)]):
        write_run(tmp_path / str(job), [f"seed={seed}", f"model.embedding_dim={dim}"], val)
    first, second = table(rank(read_runs(tmp_path)))
    assert (first["runs"], first["val/rmse"], first["val/rmse sd"]) == (
        2,
        0.91,
        pytest.approx(0.014142, abs=1e-6),
    )
    assert (second["model.embedding_dim"], second["val/rmse sd"]) == ("8", 0.0)


def test_folds_are_averaged_where_every_configuration_has_them_all(tmp_path: Path) -> None:
    for job, (lr, fold) in enumerate([(1, 0), (1, 1), (2, 0), (2, 1)]):
        write_run(
            tmp_path / str(job), [f"optimizer.lr={lr}", f"split.fold={fold}"], lr + fold, split=f"k {fold}"
        )
    assert [line.mean("val/rmse") for line in rank(read_runs(tmp_path))] == [1.5, 2.5]
    write_run(tmp_path / "8", ["optimizer.lr=3", "split.fold=0"], 0.1, split="k 0")
    lines = rank(read_runs(tmp_path))
    assert [line.choices["optimizer.lr"] for line in lines] == ["1", "2", "3"], (
        "an easy fold alone wins nothing"
    )
    assert [row["runs"] for row in table(lines)] == [2, 2, "1, 1 missing"]
    write_run(tmp_path / "9", ["optimizer.lr=4", "split.fold=2"], 0.1, split="k 2")
    with pytest.raises(RunError, match="were not tested on the same ratings"):
        rank(read_runs(tmp_path))


def test_runs_on_other_rows_are_not_compared(tmp_path: Path) -> None:
    write_run(tmp_path / "0", ["split.test=0.1"], 0.9, split="random aa")
    write_run(tmp_path / "1", ["split.test=0.2"], 0.8, split="random bb")
    with pytest.raises(RunError, match=r"0 and 1 were not tested on the same ratings .*aa.*bb"):
        rank(read_runs(tmp_path))


def write_lists(folder: Path, overrides: list[str], ndcg: float, rmse: float | None = None) -> None:
    """A run with lists: chosen by them or, where it has an error, by that."""
    write_run(folder, overrides, rmse or 0.0)
    content = json.loads((folder / "result.json").read_text())
    if rmse is None:
        content["objective"] = {"name": "val/ndcg@10", "mode": "max", "value": ndcg, "epoch": 3}
        content["metrics"] = {}
    content["metrics"] |= {"val/ndcg@10": ndcg, "test/ndcg@10": ndcg - 0.01}
    (folder / "result.json").write_text(json.dumps(content))


def test_of_lists_the_highest_ndcg_is_best(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    for job, (dim, seed, ndcg) in enumerate([(4, 1, 0.1), (8, 1, 0.3), (8, 2, 0.34), (16, 1, 0.2)]):
        write_lists(tmp_path / str(job), ["loss=bpr", f"model.embedding_dim={dim}", f"seed={seed}"], ndcg)
    lines = rank(read_runs(tmp_path))
    rows = table(lines)
    assert [row["val/ndcg@10"] for row in rows] == [0.32, 0.2, 0.1]
    assert [row["test/ndcg@10"] for row in rows] == [pytest.approx(0.31), "", ""]
    assert "model.embedding_dim=8 seed=2" in best_command(lines)
    compare(tmp_path, page=tmp_path / "page.html")
    assert "4 runs, by val/ndcg@10" in capsys.readouterr().out
    axes = plot_cost(lines).axes[0]
    assert axes.get_ylabel() == "val/ndcg@10"
    assert axes.lines[0].get_ydata().tolist() == [0.32], "as cheap as the others and the best"


def test_losses_are_compared_by_the_lists_that_all_of_them_make(tmp_path: Path) -> None:
    write_lists(tmp_path / "0", ["loss=pointwise"], 0.1, rmse=0.9)
    write_lists(tmp_path / "1", ["loss=bpr"], 0.3)
    lines = rank(read_runs(tmp_path))
    assert [line.choices["loss"] for line in lines] == ["bpr", "pointwise"]
    write_run(tmp_path / "2", ["loss=mine"], 0.8)
    with pytest.raises(RunError, match=r"chosen by val/rmse and val/ndcg@10, and none .* in all"):
        rank(read_runs(tmp_path))


def test_failures_are_told_and_the_best_command_can_be_typed(
    tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    write_run(tmp_path / "0", ["sweep=layer-widths", "output_dir=x", "model.hidden=[100,200]", "seed=2"], 0.9)
    (tmp_path / "10").mkdir()
    (tmp_path / "10" / "failed.json").write_text(
        json.dumps(
            {"status": "failed", "error": "TrainingError: nan", "traceback": "", "overrides": ["seed=3"]}
        )
    )
    compare(tmp_path)
    told = capsys.readouterr().out
    assert "failed: job 10: TrainingError: nan" in told
    assert "best: recsys-train 'model.hidden=[100,200]' seed=2" in told
    assert shlex.split(best_command(rank(read_runs(tmp_path)))) == [
        "recsys-train",
        "model.hidden=[100,200]",
        "seed=2",
    ]


@pytest.mark.parametrize(
    ("form", "start"), [("markdown", "| job | val/rmse |"), ("csv", "job,val/rmse,"), ("json", "[")]
)
def test_formats_for_programs_hold_rows_alone(form: str, start: str, tmp_path: Path, capsys) -> None:
    write_run(tmp_path / "0", ["seed=1"], 0.9)
    compare(tmp_path, form)
    told = capsys.readouterr().out
    assert told.startswith(start)
    assert "best:" not in told


def test_latest_is_the_newest_sweep_with_results(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="no sweep with results"):
        find_sweep("latest")
    write_run(tmp_path / "outputs" / "sweeps" / "a" / "0", ["seed=1"], 0.9)
    (tmp_path / "outputs" / "sweeps" / "b").mkdir()
    assert find_sweep("latest") == Path("outputs/sweeps/a")
    with pytest.raises(RunError, match="no finished run"):
        read_runs(tmp_path / "outputs" / "sweeps" / "b")


def test_the_page_is_self_contained(tmp_path: Path, capsys) -> None:
    grid = [(dim, hidden) for dim in (8, 16, 128) for hidden in ("[64]", "[64,32]")]
    for job, (dim, hidden) in enumerate(grid):
        write_run(
            tmp_path / str(job), [f"model.embedding_dim={dim}", f"model.hidden={hidden}"], 0.9 + job / 100
        )
    (tmp_path / "7").mkdir()
    (tmp_path / "7" / "failed.json").write_text(
        json.dumps({"status": "failed", "error": "E: <b>", "traceback": "", "overrides": []})
    )
    compare(tmp_path, page=tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text()
    assert page.count("<svg") == 3  # against embedding_dim, against cost, parallel coordinates
    assert page.count("<tr>") == 1 + len(grid)
    assert "job 7 failed: E: &lt;b&gt;" in page
    assert "recsys-train model.embedding_dim=8 &#x27;model.hidden=[64]&#x27;" in page
    assert 'src="' not in page
    assert "<script" not in page


def test_the_pareto_front_holds_what_nothing_beats() -> None:
    points = [(1.0, 5.0), (2.0, 3.0), (2.0, 4.0), (3.0, 3.0), (4.0, 1.0), (5.0, 2.0)]
    assert pareto_front(points) == [(1.0, 5.0), (2.0, 3.0), (4.0, 1.0)]


def test_experiments_are_configurations_and_no_repeats(tmp_path: Path) -> None:
    for job, experiment in enumerate(("small", "big")):
        write_run(tmp_path / str(job), [f"experiment={experiment}"], 0.9 + job / 100)
    assert [row["experiment"] for row in table(rank(read_runs(tmp_path)))] == ["small", "big"]


def test_what_is_no_run_hides_none(tmp_path: Path, capsys, caplog: pytest.LogCaptureFixture) -> None:
    for name in ("0", "10", "9", "foo"):
        write_run(tmp_path / name, ["model.hidden=[/b]|x"], 0.9)
    for name, content in (("list", "[1]"), ("loss", '{"loss": 1}'), ("half", '{"status": "comp')):
        (tmp_path / name).mkdir()
        (tmp_path / name / "result.json").write_text(content)
    assert [run.name for run in read_runs(tmp_path)] == ["0", "9", "10", "foo"]
    assert "half/result.json: cannot be read" in caplog.text
    write_run(tmp_path / "11", ["model.hidden=[x]"], 0.8)
    compare(tmp_path)
    assert "[/b]|x" in capsys.readouterr().out
    compare(tmp_path, "markdown")
    assert "| [/b]\\|x |" in capsys.readouterr().out
    with pytest.raises(ConfigError, match=r"html=.*none/page.html: No such file"):
        compare(tmp_path, page=tmp_path / "none" / "page.html")


def test_the_page_takes_any_value(tmp_path: Path, capsys) -> None:
    for job, (dim, text) in enumerate([(4, "a$\\frac$b"), (8, "<script>")]):
        write_run(tmp_path / str(job), [f"model.embedding_dim={dim}", f"data.name={text}"], 0.9)
    compare(tmp_path, page=tmp_path / "page.html")
    assert "<script" not in (tmp_path / "page.html").read_text()


def test_a_sweep_file_of_ones_own_stands_in_the_best_command(tmp_path: Path) -> None:
    write_run(tmp_path / "0", ["sweep=mine", "seed=1"], 0.9)
    assert best_command(rank(read_runs(tmp_path))) == "recsys-train sweep=mine seed=1 hydra.mode=RUN"
