import re
from pathlib import Path

import pytest
from support.run_records import write_failed, write_folds, write_run

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


def without_scripts(page: str) -> str:
    return re.sub(r"(?s)<script>.*?</script>", "", page)


def test_the_page_has_the_table_the_failures_and_the_best_command(tmp_path: Path) -> None:
    grid = [(dim, hidden) for dim in (8, 16, 128) for hidden in ("[64]", "[64,32]")]
    for job, (dim, hidden) in enumerate(grid):
        overrides = [f"model.embedding_dim={dim}", f"model.hidden={hidden}"]
        write_run(tmp_path / str(job), overrides, 0.9 + job / 100)
    write_failed(tmp_path / "7", "E: no")
    write_failed(tmp_path / "8", "after epoch 2", status="pruned")
    page = without_scripts(page_of(tmp_path))
    assert page.count('<div class="plot"></div>') == 3  # embedding_dim, hidden, parallel coordinates
    assert page.count("<tr") == 1 + len(grid)
    assert '<p class="failed">job 7 failed: E: no</p>' in page
    assert "<summary>1 pruned by the search</summary>" in page
    assert "recsys-train model.embedding_dim=8 &#39;model.hidden=[64]&#39;" in page
    assert not re.search(r"\s(src|href|on\w+)=", page), "nothing is loaded, and no attribute has code"


def test_the_page_has_the_test_columns_and_their_explanation(tmp_path: Path) -> None:
    write_folds(tmp_path)
    page = page_of(tmp_path)
    columns = re.findall(r"<th .*?><button>(.*?)</button></th>", page)
    assert columns[:6] == ["#", "runs", "model.embedding_dim", "val/rmse", "val/rmse sd", "difference"]
    assert "corrected t test of Nadeau and Bengio" in page


def test_cells_are_sorted_as_numbers_and_lists_by_size(tmp_path: Path) -> None:
    for job, hidden in enumerate(("[64,64]", "[100]", "[9]")):
        write_run(tmp_path / str(job), [f"model.hidden={hidden}"], 0.9 + job / 100)
    cells = re.findall(r'<td data-order="(\d)">(.*?)</td>', page_of(tmp_path))
    assert cells == [("2", "[64,64]"), ("1", "[100]"), ("0", "[9]")]


def test_a_single_run_has_no_figures_and_a_small_page(tmp_path: Path) -> None:
    write_run(tmp_path / "0", [], 0.9)
    page = page_of(tmp_path)
    assert len(page) < 20_000
    assert "<figure" not in page


@pytest.mark.parametrize("jobs", [1, 2])
def test_the_policy_allows_only_the_scripts_of_the_page(jobs: int, tmp_path: Path) -> None:
    for job in range(jobs):
        write_run(tmp_path / str(job), [f"model.embedding_dim={job + 1}"], 0.9)
    page = page_of(tmp_path)
    (policy,) = re.findall(r'http-equiv="Content-Security-Policy" content="(.*?)"', page)
    directives = dict(directive.split(" ", 1) for directive in policy.replace("&#39;", "'").split("; "))
    assert directives["default-src"] == "'none'"
    assert "unsafe" not in directives["script-src"]
    assert directives["script-src"].count("sha256-") == page.count("<script>") == jobs
