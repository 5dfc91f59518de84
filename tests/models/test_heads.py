"""Heads turn scores into ratings; an ordinal head gives each rating value a probability."""

import pytest
import torch

from recsys.errors import ConfigError
from recsys.models.heads import (
    MAX_RATING_VALUES,
    MeanOffsetHead,
    OrdinalHead,
    SigmoidHead,
    distinct_ratings,
    make_head,
)

RATING_VALUES = [1, 2, 3, 4, 5]


def test_heads_by_name() -> None:
    scores = torch.tensor([-2.0, 0.0, 0.5])
    linear = make_head("linear", (1, 5), 3.5)
    assert isinstance(linear, MeanOffsetHead)
    assert linear(scores).tolist() == [1.5, 3.5, 4.0]
    sigmoid = make_head("sigmoid", (1, 5), 3.5, margin=0.5)
    assert isinstance(sigmoid, SigmoidHead)
    assert sigmoid(torch.tensor([-50.0, 0.0, 50.0])).tolist() == pytest.approx([0.5, 3.0, 5.5])
    assert isinstance(make_head("ordinal", (1, 5), 3.5, RATING_VALUES), OrdinalHead)


@pytest.mark.parametrize("rating_values", [[], [3.0]])
def test_an_ordinal_head_needs_at_least_two_rating_values(rating_values: list[float]) -> None:
    with pytest.raises(ConfigError, match=r"model\.head=ordinal: .*2 to 20 .*model\.head=sigmoid"):
        OrdinalHead(rating_values)


def test_a_continuous_scale_has_no_rating_values() -> None:
    values = torch.linspace(1, 5, MAX_RATING_VALUES).numpy()
    assert distinct_ratings(values[[1, 0, 1]]) == pytest.approx(sorted(values[:2]))
    assert len(distinct_ratings(values)) == MAX_RATING_VALUES
    assert distinct_ratings(torch.linspace(1, 5, MAX_RATING_VALUES + 1).numpy()) == []


def test_probabilities_equal_those_by_hand() -> None:
    head = OrdinalHead([0.5, 1, 3])  # not evenly spaced
    with torch.no_grad():
        head.thresholds.copy_(torch.logit(torch.tensor([0.2, 0.7])))  # P(r <= .5), P(r <= 1) at a score of 0
    assert head(torch.zeros(1)).item() == pytest.approx(0.2 * 0.5 + 0.5 * 1 + 0.3 * 3)
    for rating, probability in ((0.5, 0.2), (1.0, 0.5), (3.0, 0.3)):
        loss = head.negative_log_likelihood(torch.zeros(1), torch.tensor([rating]))
        assert loss.item() == pytest.approx(-torch.tensor(probability).log().item(), rel=1e-5)


def test_ratings_grow_with_the_score_from_the_lowest_to_the_highest_value() -> None:
    with torch.no_grad():
        ratings = OrdinalHead(RATING_VALUES)(torch.linspace(-30, 30, 500))
    assert (ratings.diff() >= 0).all()
    assert ratings[0].item() == pytest.approx(1, abs=1e-4)
    assert ratings[-1].item() == pytest.approx(5, abs=1e-4)
    assert OrdinalHead(RATING_VALUES)(torch.zeros(3, 4)).shape == (3, 4)


def test_learns_how_often_each_value_occurs() -> None:
    ratings = torch.tensor([1.0] * 5 + [2.0] * 10 + [3.0] * 20 + [4.0] * 40 + [5.0] * 25)
    head = OrdinalHead(RATING_VALUES)
    optimizer = torch.optim.Adam(head.parameters(), lr=0.1)
    for _ in range(200):
        optimizer.zero_grad()
        head.negative_log_likelihood(torch.zeros(100), ratings).backward()
        optimizer.step()
    assert torch.sigmoid(head.thresholds).tolist() == pytest.approx([0.05, 0.15, 0.35, 0.75], abs=0.005)
    assert head(torch.zeros(1)).item() == pytest.approx(ratings.mean().item(), abs=0.01)
