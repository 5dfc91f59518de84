import json
import math
from pathlib import Path

import pytest
import scipy.stats
from support.run_records import write_folds, write_run

from recsys.leaderboard.paired_test import explain
from recsys.leaderboard.ranking import compare_with_best, rank
from recsys.leaderboard.runs import read_runs
from recsys.leaderboard.table import table


def test_rows_are_ranked_by_validation_and_only_the_best_shows_its_test_metric(tmp_path: Path) -> None:
    for job, (dim, val, test) in enumerate([(4, 0.95, 0.80), (8, 0.91, 0.93), (16, 0.92, 0.90)]):
        write_run(tmp_path / str(job), ["model=bias", f"model.embedding_dim={dim}"], val, test)
    configurations = rank(read_runs(tmp_path))
    rows = table(configurations)
    assert [row["model.embedding_dim"] for row in rows] == ["8", "16", "4"]
    assert [row["test/rmse"] for row in rows] == [0.93, "", ""]
    assert [row["test/rmse"] for row in table(configurations, test=True)] == [0.93, 0.90, 0.80]
    assert "model" not in rows[0], "a key with one value is not a column"
    assert [row["job"] for row in rows] == ["1", "2", "0"]


def test_seeds_become_mean_and_deviation(tmp_path: Path) -> None:
    for job, (dim, seed, val) in enumerate([(4, 1, 0.90), (4, 2, 0.92), (8, 1, 0.95), (8, 2, 0.95)]):
        write_run(tmp_path / str(job), [f"seed={seed}", f"model.embedding_dim={dim}"], val)
    first, second = table(rank(read_runs(tmp_path)))
    assert (first["runs"], first["val/rmse"]) == (2, 0.91)
    assert first["val/rmse sd"] == pytest.approx(0.014142, abs=1e-6)
    assert (second["model.embedding_dim"], second["val/rmse sd"]) == ("8", 0.0)


def test_every_configuration_is_tested_against_the_first(tmp_path: Path) -> None:
    write_folds(tmp_path)
    best, second, last = table(rank(read_runs(tmp_path)))
    assert (best["difference"], best["p"], best["pairs"]) == ("", "", "")
    # Differences 0.01, 0.02, 0.03; ten validation rows for 80 training rows.
    t = 2 / math.sqrt(1 / 3 + 10 / 80)
    assert (second["difference"], second["pairs"]) == (0.02, "3 splits")
    assert second["p"] == pytest.approx(1 - t / math.sqrt(2 + t * t), rel=5e-3)
    assert (last["difference"], last["pairs"], last["runs"]) == (0.035, "2 splits", "2, 1 missing")
    assert not [key for key in best if key.startswith("test ")]


def test_the_test_metric_is_tested_if_it_is_shown_and_does_not_change_the_ranking(tmp_path: Path) -> None:
    for dim, val, test in ((4, 0.90, 0.95), (8, 0.91, 0.90)):
        for seed in (1, 2):
            overrides = [f"model.embedding_dim={dim}", f"seed={seed}"]
            write_run(tmp_path / f"{dim}-{seed}", overrides, val + seed * dim / 1000, test + seed * dim / 100)
    configurations = rank(read_runs(tmp_path))
    assert "test difference" not in table(configurations)[0]
    first, second = table(configurations, test=True)
    assert (first["model.embedding_dim"], first["test difference"]) == ("4", "")
    assert second["test difference"] == pytest.approx(0.01)
    assert second["pairs"] == "2 seeds"
    metrics = [[run.content["metrics"]["test/rmse"] for run in own.runs] for own in configurations]
    expected = scipy.stats.ttest_rel(metrics[1], metrics[0]).pvalue
    assert second["test p"] == pytest.approx(expected, rel=5e-3)


def test_single_runs_have_no_test_columns(tmp_path: Path) -> None:
    for dim in (4, 8):
        write_run(tmp_path / str(dim), [f"model.embedding_dim={dim}"], 0.9 + dim / 100)
    write_run(tmp_path / "again", ["model.embedding_dim=4", "seed=2"], 0.9)
    configurations = rank(read_runs(tmp_path))
    assert "p" not in table(configurations, test=True)[0]
    assert explain(compare_with_best(configurations, "val/rmse")) == []


def test_added_metrics_that_all_runs_have_are_columns(tmp_path: Path) -> None:
    """The test metric is shown for the best run only, as that of the objective."""
    for job, (dim, val) in enumerate([(4, 0.95), (8, 0.91)]):
        write_run(tmp_path / str(job), [f"model.embedding_dim={dim}"], val)
        file = tmp_path / str(job) / "result.json"
        content = json.loads(file.read_text())
        names = ["val/mape", "test/mape", *(["val/own"] if job else [])]
        content["added_metrics"] = names
        content["metrics"] |= dict.fromkeys(names, (job + 1) / 10)
        file.write_text(json.dumps(content))
    configurations = rank(read_runs(tmp_path))
    first, second = table(configurations)
    assert (first["val/mape"], first["test/mape"]) == (0.2, 0.2)
    assert (second["val/mape"], second["test/mape"]) == (0.1, "")
    assert "val/own" not in first
    assert table(configurations, test=True)[1]["test/mape"] == 0.1
