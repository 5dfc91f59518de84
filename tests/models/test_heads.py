"""Scores to ratings: bounds, and the probabilities of an ordinal head."""

import pytest
import torch

from recsys.errors import ConfigError
from recsys.models.heads import Bounded, Ordinal, make_head

LEVELS = [1, 2, 3, 4, 5]


def test_heads_by_name() -> None:
    scores = torch.tensor([-2.0, 0.0, 0.5])
    assert make_head("linear", (1, 5), 3.5)(scores).tolist() == [1.5, 3.5, 4.0]
    bounded = make_head("sigmoid", (1, 5), 3.5, margin=0.5)
    assert isinstance(bounded, Bounded)
    assert bounded(torch.tensor([-50.0, 0.0, 50.0])).tolist() == pytest.approx([0.5, 3.0, 5.5])
    assert isinstance(make_head("ordinal", (1, 5), 3.5, LEVELS), Ordinal)


@pytest.mark.parametrize("levels", [[], [3.0]])
def test_an_ordinal_head_needs_levels(levels: list[float]) -> None:
    with pytest.raises(ConfigError, match=r"model\.head=ordinal: needs ratings of 2 to 20 different values"):
        Ordinal(levels)


def test_probabilities_by_hand() -> None:
    head = Ordinal([0.5, 1, 3])  # not evenly spaced
    with torch.no_grad():
        head.thresholds.copy_(torch.logit(torch.tensor([0.2, 0.7])))  # P(r <= .5), P(r <= 1) at a score of 0
    assert head(torch.zeros(1)).item() == pytest.approx(0.2 * 0.5 + 0.5 * 1 + 0.3 * 3)
    for rating, probability in ((0.5, 0.2), (1.0, 0.5), (3.0, 0.3)):
        loss = head.loss(torch.zeros(1), torch.tensor([rating]))
        assert loss.item() == pytest.approx(-torch.tensor(probability).log().item(), rel=1e-5)


def test_a_higher_score_is_a_higher_rating_within_the_levels() -> None:
    with torch.no_grad():
        ratings = Ordinal(LEVELS)(torch.linspace(-30, 30, 500))
    assert (ratings.diff() >= 0).all()
    assert ratings[0].item() == pytest.approx(1, abs=1e-4)
    assert ratings[-1].item() == pytest.approx(5, abs=1e-4)
    assert Ordinal(LEVELS)(torch.zeros(3, 4)).shape == (3, 4)


def test_learns_the_shares_of_levels() -> None:
    ratings = torch.tensor([1.0] * 5 + [2.0] * 10 + [3.0] * 20 + [4.0] * 40 + [5.0] * 25)
    head = Ordinal(LEVELS)
    optimizer = torch.optim.Adam(head.parameters(), lr=0.05)
    for _ in range(600):
        optimizer.zero_grad()
        head.loss(torch.zeros(100), ratings).backward()
        optimizer.step()
    assert torch.sigmoid(head.thresholds).tolist() == pytest.approx([0.05, 0.15, 0.35, 0.75], abs=0.005)
    assert head(torch.zeros(1)).item() == pytest.approx(ratings.mean().item(), abs=0.01)
