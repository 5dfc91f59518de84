"""Which items users choose: the loss and the scores equal loops over their formulas."""

import math

import numpy as np
import pytest
import torch
from support.networks import N_ITEMS, N_USERS, TERMS, all_pairs, all_pairs_data, randomise

from recsys.errors import ConfigError
from recsys.models.choice import ChoiceHead, JointRanker, JointScorer
from recsys.models.ensemble import EnsembleScorer, average
from recsys.models.histories import HistoryLists
from recsys.models.hybrid import HybridNet
from recsys.models.matrix_factorization import MatrixFactorization

USERS, ITEMS = np.array([0, 0, 1, 1, 2, 2, 2]), np.array([0, 1, 1, 2, 0, 2, 3])


@pytest.fixture
def head() -> ChoiceHead:
    torch.manual_seed(0)
    head = ChoiceHead(n_items=5, dim=3)
    torch.nn.init.normal_(head.query.weight)
    torch.nn.init.normal_(head.bias.weight)
    head.set_ratings(ITEMS, HistoryLists.of(USERS, ITEMS, np.zeros(7), 3, 5))
    return head


@torch.no_grad()
def loss_by_hand(
    head: ChoiceHead, users: list[int], items: list[int], p: torch.Tensor, q: torch.Tensor
) -> float:
    """Return the sum of -log P(chosen), where other rated items of a user do not compete."""
    rated = set(zip(USERS.tolist(), ITEMS.tolist(), strict=True))
    total = 0.0
    for row, user in enumerate(users):
        own = float((head.query.weight @ p[row]) @ q[row] + head.bias.weight[items[row], 0])
        others = [
            float((head.query.weight @ p[row]) @ q[column] + head.bias.weight[item, 0])
            for column, item in enumerate(items)
            if column != row and (user, item) not in rated
        ]
        total += math.log(math.exp(own) + sum(map(math.exp, others))) - own
    return total


@pytest.mark.parametrize("negatives", [1, 2, 3, 5, 1000])
def test_the_loss_equals_its_formula(head: ChoiceHead, negatives: int) -> None:
    users, items = [0, 1, 2, 2, 1, 0], [0, 2, 3, 0, 1, 4]  # the last pair was not rated
    p, q = torch.randn(6, 3), torch.randn(6, 3)
    index = torch.tensor(users).int(), torch.tensor(items).int()
    size = negatives + 1
    expected = sum(
        loss_by_hand(head, users[i : i + size], items[i : i + size], p[i : i + size], q[i : i + size])
        for i in range(0, 6, size)
    )
    assert head.loss(*index, (p, q), negatives).item() == pytest.approx(expected / 6, rel=1e-5)


def test_popularity_is_the_logarithm_of_counts_plus_what_is_learned(head: ChoiceHead) -> None:
    expected = torch.tensor([3.0, 3, 3, 2, 1]).log() + head.bias.weight[:, 0]
    torch.testing.assert_close(head.popularity(), expected)


@pytest.fixture
def network() -> HybridNet:
    torch.manual_seed(0)
    network = HybridNet.from_data(
        all_pairs_data(), user=TERMS, item=TERMS, head="ordinal", choice=True, embedding_dim=4, hidden=8
    )
    randomise(network)
    return network.eval()


@pytest.mark.parametrize(("threshold", "n_below"), [(None, 3), (5, 4), (2, 1), (4.5, 4), (1, 0)])
def test_items_are_ranked_by_choice_and_rating(
    network: HybridNet, threshold: float | None, n_below: int
) -> None:
    """log P(chosen), up to a constant per user, plus w log P(rating >= threshold)."""
    network.threshold = threshold
    assert network.choice is not None
    network.choice.relevance_weight.fill_(0.5)
    users, items = all_pairs()
    scorer = network.scorer()
    assert isinstance(scorer, JointScorer)
    p, q = scorer.user_vectors, scorer.item_vectors
    assert p is not None
    assert q is not None
    train = all_pairs_data()
    counts = np.bincount(train.dataset.items[train.split.train], minlength=N_ITEMS)
    chosen = (p @ network.choice.query.weight.T) @ q.T + network.choice.bias.weight[:, 0]
    chosen = chosen + torch.from_numpy(np.log(counts + 1)).float()
    scores = scorer.logits(users, items).view(N_USERS, N_ITEMS).double()
    at_least = torch.ones_like(scores)
    if n_below:
        at_least = 1 - torch.sigmoid(network.head.thresholds[n_below - 1] - scores)
    expected = (chosen + 0.5 * at_least.log()).float()
    torch.testing.assert_close(scorer.ranker()(users, items).view(N_USERS, N_ITEMS), expected)
    torch.testing.assert_close(scorer.ranker().score_catalogue(torch.arange(N_USERS)), expected)


def test_ratings_are_those_of_the_same_network_without_choice(network: HybridNet) -> None:
    plain = HybridNet.from_data(
        all_pairs_data(), user=TERMS, item=TERMS, head="ordinal", embedding_dim=4, hidden=8
    )
    plain.load_state_dict(network.state_dict(), strict=False)
    pairs = all_pairs()
    assert torch.equal(network.scorer()(*pairs), plain.eval().scorer()(*pairs))
    assert network.scorer().predicts_ratings
    assert not network.scorer().ranker().predicts_ratings


@pytest.mark.parametrize("head", ["linear", "sigmoid"])
def test_other_heads_rank_by_the_predicted_rating(head: str) -> None:
    network = HybridNet.from_data(all_pairs_data(), head=head, choice=True, hidden=[])
    randomise(network)
    assert network.choice is not None
    network.choice.relevance_weight.fill_(1e6)  # so that choices do not matter
    scorer, users = network.scorer(), torch.arange(N_USERS)
    ratings = scorer.score_catalogue(users)
    clear = ratings.clamp(1.01, 4.99) == ratings  # a linear head may predict less than the scale
    best = ratings.where(clear, -1).argmax(1)
    assert torch.equal(scorer.ranker().score_catalogue(users).where(clear, -1e9).argmax(1), best)


def test_an_ensemble_ranks_by_the_mean_of_its_members(network: HybridNet) -> None:
    first = network.scorer()
    randomise(network)
    second = network.scorer()
    users = torch.arange(N_USERS)
    expected = (first.ranker().score_catalogue(users) + second.ranker().score_catalogue(users)) / 2
    torch.testing.assert_close(average([first, second]).ranker().score_catalogue(users), expected)


def test_an_ensemble_with_a_member_that_only_rates_ranks_by_ratings(network: HybridNet) -> None:
    plain = MatrixFactorization.from_data(all_pairs_data()).scorer()
    mixed = EnsembleScorer([network.scorer(), plain])
    assert mixed.ranker() is mixed
    assert plain.ranker() is plain


def test_rankings_of_other_users(network: HybridNet) -> None:
    """With the table of a trained user, they are those of this user."""
    scorer = network.scorer()
    other = scorer.with_users(scorer.user_table()[[3, 5]])
    expected = scorer.ranker().score_catalogue(torch.tensor([3, 5]))
    assert isinstance(other.ranker(), JointRanker)
    torch.testing.assert_close(other.ranker().score_catalogue(torch.arange(2)), expected)
    again = scorer.ranker().with_users(scorer.user_table()[[3, 5]])
    torch.testing.assert_close(again.score_catalogue(torch.arange(2)), expected)


def test_choices_of_a_new_user_come_from_other_vectors_than_ratings(network: HybridNet) -> None:
    scorer, everything = network.scorer(), torch.arange(1)
    table = scorer.user_table()
    rates_as, chooses_as = scorer.with_users(table[[2]]), table[[5]]
    ranker = rates_as.ranker(chooses_as)
    chosen = scorer.catalogue_choice_logits(torch.tensor([5]))
    liked = rates_as.ranker().parts(everything)[1]
    torch.testing.assert_close(ranker.score_catalogue(everything), chosen + scorer.relevance_weight * liked)
    both = average([scorer, scorer])
    twice = both.with_users(both.user_table()[[2]]).ranker(torch.cat([chooses_as, chooses_as], dim=1))
    torch.testing.assert_close(twice.score_catalogue(everything), ranker.score_catalogue(everything))


def test_the_choice_scorer_predicts_which_items_are_chosen(network: HybridNet) -> None:
    scorer, pairs = network.scorer(), all_pairs()[:2]
    choices = scorer.choice_scorer()
    expected = scorer.choice_logits(*pairs)
    torch.testing.assert_close(choices(*pairs), expected)
    table = torch.cat([scorer.user_table()] * 2, dim=1)
    both = average([scorer, scorer]).choice_scorer()
    torch.testing.assert_close(both.with_users(table)(*pairs), expected)
    plain = MatrixFactorization.from_data(all_pairs_data())
    assert plain.scorer().choice_scorer() is None
    assert EnsembleScorer([scorer, plain.scorer()]).choice_scorer() is None
    ranking = plain.scorer(predicts_ratings=False)
    assert ranking.choice_scorer() is ranking


def test_a_network_without_choice_says_what_to_use() -> None:
    empty = torch.empty(0, dtype=torch.int32)
    for network in (HybridNet(3, 4, (1, 5), 3.0), MatrixFactorization(3, 4, (1, 5), 3.0)):
        with pytest.raises(ConfigError, match="use model=history or model=neumf"):
            network.joint_losses(empty, empty, torch.empty(0), 10)


def test_choices_need_the_training_set() -> None:
    network = HybridNet(3, 4, (1, 5), 3.0, choice=True)
    index = torch.zeros(2, dtype=torch.int32)
    with pytest.raises(RuntimeError, match="call network"):
        network.joint_losses(index, index, torch.ones(2), 10)
