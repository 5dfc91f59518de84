from pathlib import Path

import pytest

from recsys.evaluation.summary import print_summary


@pytest.mark.parametrize(
    ("snapshots", "facts"),
    [
        (1, "best after epoch 4 of 6, 1,234 parameters, 2 s"),
        (8, "best after epoch 4 of 6, average of 8 snapshots, 1,234 parameters per network, 2 s"),
    ],
)
def test_parameters_are_those_of_one_network(
    snapshots: int, facts: str, capsys: pytest.CaptureFixture[str]
) -> None:
    result = {
        "data": {"name": "synthetic", "test": 20},
        "ranking": None,
        "objective": {"name": "val/rmse", "epoch": 3},
        "metrics": {"val/rmse": 0.9, "test/rmse": 0.9, "test/mae": 0.7},
        "baselines": {},
        "added_metrics": [],
        "model": {"name": "history", "parameters": 1234, "snapshots": snapshots},
        "time": {"epochs": 6, "seconds": 2.0, "train_ratings_per_second": 0.0},
    }
    print_summary(result, Path("outputs/runs/a"))
    assert facts in capsys.readouterr().out.splitlines()
