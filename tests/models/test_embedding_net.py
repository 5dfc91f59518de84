"""The network of Zaitsev's 2018 article: size, layers, initialisation and formula."""

from typing import Any

import pytest
import torch
from torch import nn

from recsys.models.embedding_net import EmbeddingNet
from recsys.models.ops.dropout import Dropout


def build(**options: Any) -> EmbeddingNet:
    return EmbeddingNet(**{"n_users": 5, "n_items": 4, "scale": [1, 5], "mean": 3, **options})


def test_has_the_size_of_the_article_on_ml_1m() -> None:
    network = build(
        n_users=6040, n_items=3706, embedding_dim=150, hidden=[500, 500, 500], dropouts=[0.5, 0.5, 0.25]
    )
    assert sum(parameter.numel() for parameter in network.parameters()) == 2_113_901


@pytest.mark.parametrize(
    ("hidden", "dropouts", "rates"),
    [
        ([8, 8, 8], 0.2, [0.2, 0.2, 0.2]),
        ([8, 8, 8], [0.5, 0.25], [0.5, 0.25, 0.25]),
        ([8], [0.5, 0.25], [0.5]),
        (8, 0.2, [0.2]),
        ([], 0.2, []),
    ],
)
def test_each_hidden_layer_has_its_dropout(
    hidden: int | list[int], dropouts: float | list[float], rates: list[float]
) -> None:
    mlp = build(hidden=hidden, dropouts=dropouts, embedding_dropout=0.1).mlp
    assert [module.p for module in mlp if isinstance(module, Dropout)] == [0.1, *rates]
    assert sum(isinstance(module, nn.Linear) for module in mlp) == len(rates) + 1


def test_equals_the_formula() -> None:
    torch.manual_seed(0)
    network = build(embedding_dim=3, hidden=[6]).eval()
    first, last = (module for module in network.mlp if isinstance(module, nn.Linear))
    vector = torch.cat([network.user_embedding.weight[2], network.item_embedding.weight[1]])
    score = last.weight @ torch.relu(first.weight @ vector + first.bias) + last.bias
    expected = 5 * torch.sigmoid(score) + 0.5
    assert torch.allclose(network(torch.tensor([2]), torch.tensor([1])), expected)


def test_is_initialised_as_in_the_article() -> None:
    network = build(n_users=500, embedding_dim=50, hidden=[40])
    assert 0.049 < network.user_embedding.weight.abs().max() <= 0.05
    for module in network.mlp:
        if isinstance(module, nn.Linear):
            assert (module.bias == 0.01).all()
            limit = (6 / (module.in_features + module.out_features)) ** 0.5
            assert 0.8 * limit < module.weight.abs().max() <= limit
