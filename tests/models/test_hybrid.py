"""What a user's vector carries of their history, and a item's of its features."""

import numpy as np
import pandas as pd
import pytest
import torch

from recsys.data.biases import fit_biases
from recsys.data.sources.synthetic import Synthetic
from recsys.models.features import item_features, user_features
from recsys.models.hybrid import NeuMF

TRAIN = np.arange(200)  # of 300 ratings


@pytest.fixture
def knowing() -> NeuMF:
    """A network that knows the first ratings of a small data set."""
    torch.manual_seed(0)
    dataset = Synthetic(ratings=300, users=20, items=30).load()
    network = NeuMF(
        len(dataset.user_ids),
        len(dataset.item_ids),
        (1, 5),
        3.0,
        n_item_features=item_features(dataset.item_table).shape[1],
        n_user_features=user_features(dataset.user_table).shape[1],
        embedding_dim=4,
        hidden=[],
        history=True,
        features=True,
        init_std=1.0,
    )
    network.setup_from_data(dataset, TRAIN)
    return network


def by_hand(network: NeuMF, user: int, without: int | None) -> torch.Tensor:
    """h of a user: a loop over the ratings of the training part."""
    dataset = Synthetic(ratings=300, users=20, items=30).load()
    biases = fit_biases(dataset, TRAIN)
    rated = [row for row in TRAIN if dataset.users[row] == user and dataset.items[row] != without]
    levels = [dataset.ratings[row] - biases.mean - biases.items[dataset.items[row]] for row in rated]
    user_bias = float(sum(levels) / (15 + len(levels)))
    assert network.history is not None
    terms = [
        network.history.chosen.weight[dataset.items[row]]
        + (float(level) - user_bias) * network.history.liked.weight[dataset.items[row]]
        for row, level in zip(rated, levels, strict=True)
    ]
    return torch.stack(terms).sum(0) / len(rated) ** 0.5


def test_what_a_pair_sees_does_not_depend_on_its_own_rating(knowing: NeuMF) -> None:
    dataset = Synthetic(ratings=300, users=20, items=30).load()
    users, items = dataset.users[TRAIN], dataset.items[TRAIN]
    levels = dataset.ratings[TRAIN] - 3
    history = knowing.history
    assert history is not None
    user, item = (torch.from_numpy(column[:1]) for column in (users, items))
    history.remember(users, items, levels, 20)
    before = history(user, item)
    history.remember(users, items, np.concatenate([[100], levels[1:]]), 20)
    assert torch.allclose(history(user, item), before, atol=1e-4)
    others = np.where((users == users[0]) & (np.arange(200) > 0), 100, levels)
    history.remember(users, items, others, 20)
    assert not torch.allclose(history(user, item), before, atol=1e-1)


def test_history_is_the_sum_over_what_was_rated(knowing: NeuMF) -> None:
    assert knowing.history is not None
    everybody = knowing.history.everybody()
    for user in (0, 7, 19):
        torch.testing.assert_close(everybody[user], by_hand(knowing, user, None))


def test_while_training_a_pair_does_not_see_its_own_rating(knowing: NeuMF) -> None:
    dataset = Synthetic(ratings=300, users=20, items=30).load()
    assert knowing.history is not None
    rows = [0, 3, 5, 0, 250]  # the last one is of the test part, and in nobody's history
    users, items = (torch.from_numpy(column[rows]) for column in (dataset.users, dataset.items))
    found = knowing.history(users, items)
    for user, item, vector in zip(users.tolist(), items.tolist(), found, strict=True):
        torch.testing.assert_close(vector, by_hand(knowing, user, item))


def test_in_evaluation_the_history_is_a_table(knowing: NeuMF) -> None:
    assert knowing.history is not None
    knowing.eval()
    assert torch.equal(knowing.user_context.weight[:, :4], knowing.history.everybody())
    users, items = torch.tensor([2, 2, 9]), torch.tensor([1, 8, 4])
    expected = knowing(users, items)
    again = knowing.for_evaluation()
    assert not again.history.knows
    assert torch.equal(again(users, items), expected)
    before = knowing.user_context.weight[:, :4].clone()
    with torch.no_grad():
        knowing.history.chosen.weight.add_(1.0)
    knowing.train()
    assert torch.equal(knowing.user_context.weight[:, :4], before)
    knowing.eval()
    assert not torch.equal(knowing.user_context.weight[:, :4], before)
    assert torch.equal(again(users, items), expected)


def test_a_copy_rates_people_without_ratings_as_the_network_does(knowing: NeuMF) -> None:
    trained = torch.arange(20) < 18
    knowing.eval()
    knowing.fill_untrained(trained, torch.ones(30, dtype=torch.bool))
    expected = knowing(torch.tensor([19]), torch.tensor([3]))
    knowing.train()
    assert torch.equal(knowing.for_evaluation()(torch.tensor([19]), torch.tensor([3])), expected)


def test_a_weights_file_holds_no_ratings(knowing: NeuMF) -> None:
    assert not any(
        name in ("history.pairs", "history.levels", "history.starts") for name in knowing.state_dict()
    )
    shapes = {name: tuple(value.shape) for name, value in knowing.state_dict().items()}
    assert shapes["user_context.weight"] == (20, 5)
    assert not any(200 in shape for shape in shapes.values())


def test_history_is_trained_and_its_table_is_not(knowing: NeuMF) -> None:
    knowing(torch.tensor([1, 2]), torch.tensor([3, 4])).sum().backward()
    assert knowing.history is not None
    assert knowing.history.chosen.weight.grad is not None
    assert knowing.history.chosen.weight.grad.abs().sum() > 0
    assert knowing.user_context.weight.grad is None


def test_vectors_carry_all_that_is_added_to_a_row(knowing: NeuMF) -> None:
    knowing.eval()
    users, items = knowing.vectors("user"), knowing.vectors("item")
    biases = knowing.user_bias.weight + knowing.user_context.weight[:, 4:]
    assert knowing.item_rows is not None
    item_biases = knowing.item_bias.weight + knowing.item_rows(knowing.item_features)[:, 4:]
    assert torch.allclose(
        knowing.score(torch.arange(20)), 3 + users @ items.T + biases + item_biases.T, atol=1e-5
    )


def test_features_of_items() -> None:
    catalogue = pd.DataFrame({"genres": ["Drama|War", "", "Drama"], "year": [1994, None, 1990]})
    catalogue["year"] = catalogue["year"].astype("Int32")
    assert item_features(catalogue).tolist() == [[0.5, 0.5, 1], [0, 0, 0], [1, 0, 1]]


def test_features_of_people() -> None:
    people = pd.DataFrame(
        {"gender": ["F", "M", ""], "age": ["24", "", "21"], "occupation": ["writer", "writer", ""]}
    )
    assert user_features(people).tolist() == [[1, 0, 1, 1], [0, 1, 1, 0], [0, 0, 0, 1]]
    assert user_features(people.assign(gender="", age="", occupation="")).shape == (3, 0)


def test_items_with_the_same_features_share_their_rows(knowing: NeuMF) -> None:
    """Synthetic items alternate between two sorts of genres; everything else about them is set to zero."""
    with torch.no_grad():
        for table in (knowing.item_embedding, knowing.item_bias):
            table.weight.zero_()
        knowing.item_features[:, 3:] = 0  # years
    scores = knowing.eval().score(torch.tensor([4]))[0]
    assert torch.equal(scores[::2], scores[0].expand(15))
    assert torch.equal(scores[1::2], scores[1].expand(15))
    assert scores[0] != scores[1]


def test_of_nobody_there_is_no_history(knowing: NeuMF) -> None:
    """As the losses of lists ask, where a batch has no item that anybody liked."""
    assert knowing.history is not None
    nobody = torch.empty(0, dtype=torch.int32)
    found = knowing.history(nobody, nobody)
    assert found.shape == (0, 4)
    found.sum().backward()
    assert not knowing.history.liked.weight.grad.any()


def test_whatever_moves_a_history_moves_its_ratings(knowing: NeuMF) -> None:
    assert knowing.history is not None
    moved = knowing.history.to("meta")
    columns = moved.pairs, moved.items, moved.levels, moved.starts, moved.level_sums
    assert {column.device.type for column in columns} == {"meta"}
