"""An average of networks does whatever a network does."""

import pytest
import torch
from torch import nn

from recsys.models.bias import Bias
from recsys.models.embedding_net import EmbeddingNet
from recsys.models.ensemble import Ensemble
from recsys.models.matrix_factorization import MatrixFactorization

USERS, ITEMS = torch.tensor([0, 5, 2]), torch.tensor([3, 3, 1])


@pytest.fixture
def members() -> list:
    facts = (6, 4, (1, 5), 3.0)
    made = [MatrixFactorization(*facts, embedding_dim=3), EmbeddingNet(*facts, embedding_dim=2, hidden=5)]
    for member in made:
        for parameter in member.parameters():
            nn.init.normal_(parameter)
    return made


def test_rates_as_its_members_do_on_average(members: list) -> None:
    ensemble = Ensemble(members).eval()
    assert torch.allclose(ensemble(USERS, ITEMS), (members[0](USERS, ITEMS) + members[1](USERS, ITEMS)) / 2)
    scores = ensemble.score(torch.arange(6))
    assert torch.allclose(scores[USERS, ITEMS], ensemble(USERS, ITEMS), atol=1e-5)
    assert torch.equal(ensemble.predict(USERS, ITEMS), ensemble(USERS, ITEMS).clamp(1, 5))


def test_other_users_have_rows_in_every_member(members: list) -> None:
    ensemble = Ensemble(members).eval()
    rows = {name: table.weight.detach()[[5, 2]] for name, table in ensemble.tables("user").items()}
    assert len(rows) == 3  # vector and bias of the one, vector of the other
    other = ensemble.with_users(rows)
    assert torch.equal(other.score(torch.arange(2)), ensemble.score(torch.tensor([5, 2])))
    assert other.n_users == 2


def test_untrained_rows_are_filled_in_every_member(members: list) -> None:
    trained = torch.tensor([True, True, True, False, True, True])
    ensemble = Ensemble(members)
    ensemble.fill_untrained(trained, torch.ones(4, dtype=torch.bool))
    for table in (members[0].user_embedding, members[1].user_embedding):
        assert torch.allclose(table.weight[3], table.weight[trained].mean(0))


def test_vectors_stand_side_by_side(members: list) -> None:
    vectors = Ensemble(members).vectors("item")
    assert vectors is not None
    assert torch.equal(vectors, torch.cat([member.item_embedding.weight for member in members], dim=1))
    assert Ensemble([Bias(6, 4, (1, 5), 3.0)]).vectors("user") is None
