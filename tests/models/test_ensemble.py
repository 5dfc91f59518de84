"""An ensemble of scorers does everything that a scorer does."""

import pytest
import torch
from torch import nn

from recsys.models.bias import Bias
from recsys.models.embedding_net import EmbeddingNet
from recsys.models.ensemble import EnsembleScorer, average
from recsys.models.heads import MeanOffsetHead, OrdinalHead
from recsys.models.matrix_factorization import MatrixFactorization
from recsys.models.scorer import Scorer
from recsys.models.table_scorer import Table, TableScorer

USERS, ITEMS = torch.tensor([0, 5, 2]), torch.tensor([3, 3, 1])
SIZE = (6, 4, (1, 5), 3.0)


@pytest.fixture
def members() -> list[Scorer]:
    networks = [MatrixFactorization(*SIZE, embedding_dim=3), EmbeddingNet(*SIZE, embedding_dim=2, hidden=5)]
    for network in networks:
        for parameter in network.parameters():
            nn.init.normal_(parameter)
    return [network.scorer() for network in networks]


def test_scores_are_the_mean_of_the_members(members: list[Scorer]) -> None:
    ensemble = EnsembleScorer(members)
    expected = (members[0](USERS, ITEMS) + members[1](USERS, ITEMS)) / 2
    assert torch.allclose(ensemble(USERS, ITEMS), expected)
    scores = ensemble.score_catalogue(torch.arange(6))
    assert torch.allclose(scores[USERS, ITEMS], expected, atol=1e-5)
    assert torch.equal(ensemble.predict(USERS, ITEMS), ensemble(USERS, ITEMS).clamp(1, 5))
    assert (ensemble.n_users, ensemble.n_items, ensemble.scale) == (6, 4, (1.0, 5.0))
    assert ensemble.predicts_ratings


def test_deviations_are_those_of_clipped_ratings(members: list[Scorer]) -> None:
    outputs = [member(USERS, ITEMS).clamp(1, 5) for member in members]
    expected = (outputs[0] - outputs[1]).abs() / 2**0.5
    assert torch.allclose(EnsembleScorer(members).deviations(USERS, ITEMS), expected)
    assert members[0].deviations(USERS, ITEMS) is None


def test_the_probability_of_relevance_is_the_mean_of_the_members() -> None:
    """With an ordinal head it is sigmoid(score - threshold of the head); other heads have none."""
    head = OrdinalHead([1, 2, 3, 4, 5])
    members = []
    for bias in (0.0, 1.0):
        users = Table(None, torch.full((6, 1), bias))
        members.append(TableScorer.copy_of(users, Table(None, torch.zeros(4, 1)), head, (1, 5), True))
    expected = (torch.sigmoid(-head.thresholds[2]) + torch.sigmoid(1 - head.thresholds[2])) / 2
    found = EnsembleScorer(members).relevance(torch.tensor([1, 2]), torch.tensor([3, 0]), 4)
    assert torch.allclose(found, expected.expand(2))
    other = TableScorer.copy_of(
        users, Table(None, torch.zeros(4, 1)), MeanOffsetHead(3, (1, 5)), (1, 5), True
    )
    assert other.relevance(USERS, ITEMS, 4) is None
    assert EnsembleScorer([members[0], other]).relevance(USERS, ITEMS, 4) is None


def test_an_ensemble_for_other_users_has_them_in_every_member(members: list[Scorer]) -> None:
    ensemble = EnsembleScorer(members)
    table = ensemble.user_table()[[5, 2]]
    assert table.shape == (2, 3 + 1 + 2)  # vector and bias of the first, vector of the second
    other = ensemble.with_users(table)
    assert torch.equal(other.score_catalogue(torch.arange(2)), ensemble.score_catalogue(torch.tensor([5, 2])))
    assert other.n_users == 2


def test_an_ensemble_for_other_items_has_them_in_every_member(members: list[Scorer]) -> None:
    ensemble = EnsembleScorer(members)
    other = ensemble.with_items(ensemble.item_table()[[3, 1]])
    expected = ensemble(USERS, torch.tensor([3, 1, 3]))
    assert torch.equal(other(USERS, torch.tensor([0, 1, 0])), expected)
    assert other.n_items == 2


def test_vectors_are_concatenated(members: list[Scorer]) -> None:
    vectors = EnsembleScorer(members).vectors("item")
    assert vectors is not None
    assert torch.equal(vectors, torch.cat([member.vectors("item") for member in members], dim=1))
    assert EnsembleScorer([Bias(*SIZE).scorer()]).vectors("user") is None


def test_the_average_of_one_scorer_is_that_scorer(members: list[Scorer]) -> None:
    assert average(members[:1]) is members[0]
    assert isinstance(average(members), EnsembleScorer)


def test_an_ensemble_of_ranking_scorers_does_not_clip() -> None:
    network = Bias(*SIZE)
    nn.init.constant_(network.item_bias.weight, 9.0)
    ensemble = average([network.scorer(predicts_ratings=False)] * 2)
    assert not ensemble.predicts_ratings
    assert ensemble.predict(USERS, ITEMS).tolist() == [12.0] * 3
