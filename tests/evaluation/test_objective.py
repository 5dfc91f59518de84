"""Which metric selects weights: the keys objective and objective_mode."""

import re

import pytest

from recsys.errors import ConfigError
from recsys.evaluation.objective import VAL_RMSE, Objective, choose_objective
from recsys.types import Mode

MODES: dict[str, Mode | None] = {"rmse": "min", "mae": "min", "ndcg@10": "max", "own": None}


@pytest.mark.parametrize(
    ("name", "mode", "expected"),
    [
        (None, None, VAL_RMSE),
        ("val/mae", None, ("val/mae", "min")),
        ("val/mae", "min", ("val/mae", "min")),
        ("val/ndcg@10", None, ("val/ndcg@10", "max")),
        ("val/own", "max", ("val/own", "max")),
        ("val/own", "min", ("val/own", "min")),
    ],
)
def test_what_is_chosen(name: str | None, mode: Mode | None, expected: tuple[str, str]) -> None:
    assert choose_objective(name, mode, VAL_RMSE, MODES) == Objective(*expected)


@pytest.mark.parametrize(
    ("name", "mode", "message"),
    [
        (None, "max", "objective_mode=max: needs objective=val/<name>; remove it"),
        (
            "val/own",
            None,
            "objective=val/own: metrics.own does not say whether higher is better; add objective_mode=min",
        ),
        ("val/mae", "max", "objective_mode=max: val/mae is better if it is lower; remove objective_mode"),
        (
            "mae",
            None,
            "objective=mae: is not computed; choose one of val/rmse, val/mae, val/ndcg@10, val/own",
        ),
        ("test/mae", None, "objective=test/mae: is not computed; choose one of val/rmse"),
        (
            "val/ndcg@20",
            None,
            "objective=val/ndcg@20: is not computed (ranking.k=20 computes @20); choose one of",
        ),
    ],
)
def test_what_is_refused(name: str | None, mode: Mode | None, message: str) -> None:
    with pytest.raises(ConfigError, match=f"^{re.escape(message)}"):
        choose_objective(name, mode, VAL_RMSE, MODES)
