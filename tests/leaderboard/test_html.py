from pathlib import Path

from support.run_records import write_failed, write_folds, write_ranking_run, write_run

from recsys.leaderboard.figures import pareto_front, plot_cost
from recsys.leaderboard.html import render_page
from recsys.leaderboard.ranking import rank
from recsys.leaderboard.runs import read_runs
from recsys.leaderboard.table import table


def page_of(folder: Path) -> str:
    runs = read_runs(folder)
    configurations = rank(runs)
    return render_page(
        "sweep", configurations, table(configurations), [run for run in runs if not run.completed]
    )


def test_the_page_is_self_contained(tmp_path: Path) -> None:
    grid = [(dim, hidden) for dim in (8, 16, 128) for hidden in ("[64]", "[64,32]")]
    for job, (dim, hidden) in enumerate(grid):
        overrides = [f"model.embedding_dim={dim}", f"model.hidden={hidden}"]
        write_run(tmp_path / str(job), overrides, 0.9 + job / 100)
    write_failed(tmp_path / "7", "E: no")
    page = page_of(tmp_path)
    assert page.count("<svg") == 3  # embedding_dim, cost, parallel coordinates
    assert page.count("<tr>") == 1 + len(grid)
    assert '<p class="failed">job 7 failed: E: no</p>' in page
    assert "recsys-train model.embedding_dim=8 &#39;model.hidden=[64]&#39;" in page
    assert 'src="' not in page
    assert "<script" not in page


def test_the_page_has_the_test_columns_and_their_explanation(tmp_path: Path) -> None:
    write_folds(tmp_path)
    page = page_of(tmp_path)
    assert "<th>difference</th><th>p</th><th>pairs</th>" in page
    assert "corrected t test of Nadeau and Bengio" in page


def test_the_pareto_front_of_points() -> None:
    points = [(1.0, 5.0), (2.0, 3.0), (2.0, 4.0), (3.0, 3.0), (4.0, 1.0), (5.0, 2.0)]
    assert pareto_front(points) == [(1.0, 5.0), (2.0, 3.0), (4.0, 1.0)]


def test_the_pareto_front_of_ndcg_has_the_highest_values(tmp_path: Path) -> None:
    for job, ndcg in enumerate((0.1, 0.32, 0.2)):  # all have the same cost
        write_ranking_run(tmp_path / str(job), [f"model.embedding_dim={job + 1}"], ndcg)
    axes = plot_cost(rank(read_runs(tmp_path))).axes[0]
    assert axes.get_xlabel() == "parameters of one network"
    assert axes.get_ylabel() == "val/ndcg@10"
    assert axes.lines[0].get_label() == "Pareto front"
    assert axes.lines[0].get_ydata().tolist() == [0.32]
