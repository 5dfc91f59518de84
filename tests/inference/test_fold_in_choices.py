"""Fold-in of choices: the most probable vector of a user who has chosen some items."""

import numpy as np
import pytest
import torch
from scipy.optimize import minimize
from scipy.special import logsumexp
from support.networks import N_ITEMS, TERMS, all_pairs_data, randomise

from recsys.inference import fold_in_choices
from recsys.inference.fold_in import gaussian
from recsys.inference.fold_in_choices import ChoicePrior
from recsys.models.ensemble import average
from recsys.models.hybrid import HybridNet
from recsys.models.matrix_factorization import MatrixFactorization
from recsys.models.scorer import Scorer

NONE = torch.empty(0, dtype=torch.long)


@pytest.fixture
def scorer() -> Scorer:
    """Matrix factorization: a score is the product of two vectors plus biases."""
    torch.manual_seed(0)
    network = MatrixFactorization.from_data(all_pairs_data(), embedding_dim=3)
    randomise(network)
    return network.scorer(predicts_ratings=False)


def prior_of(scorer: Scorer) -> ChoicePrior:
    return ChoicePrior(scorer, *gaussian(scorer.user_table().double(), spread=1.0))


def scores(scorer: Scorer, row: torch.Tensor) -> torch.Tensor:
    return scorer.with_users(row[None]).score_catalogue(torch.zeros(1, dtype=torch.long))[0]


def test_without_a_liked_item_a_user_is_the_mean_user(scorer: Scorer) -> None:
    torch.testing.assert_close(prior_of(scorer).posterior_mode(NONE), scorer.user_table().mean(0))


@pytest.mark.parametrize("liked", [[2], [0, 4, 7], list(range(N_ITEMS))], ids=str)
def test_the_posterior_has_its_mode_there(scorer: Scorer, liked: list[int]) -> None:
    """SciPy minimises the same cost, written for matrix factorization in numpy."""
    prior = prior_of(scorer)
    mean, root = prior.mean.numpy(), prior.root.numpy()
    items = scorer.item_table().double().numpy()  # vector and bias

    def cost(z: np.ndarray) -> float:
        x = mean + root @ z
        all_scores = items[:, :-1] @ x[:-1] + items[:, -1] + x[-1]
        return len(liked) * logsumexp(all_scores) - all_scores[liked].sum() + z @ z / 2

    best = minimize(cost, np.zeros(len(mean)), tol=1e-10)
    row = prior.posterior_mode(torch.tensor(liked)).double().numpy()
    z = np.linalg.solve(root, row - mean)
    assert cost(z) == pytest.approx(best.fun, abs=1e-4)
    np.testing.assert_allclose(row, mean + root @ best.x, atol=0.02)


def test_choices_are_fitted_with_a_joint_loss_too() -> None:
    """The items that a user chose get a higher probability, and an ensemble fits a vector for each member."""
    torch.manual_seed(0)
    network = HybridNet.from_data(all_pairs_data(), user=TERMS, choice=True, embedding_dim=4, hidden=[])
    randomise(network)
    first = network.scorer()
    randomise(network)
    for scorer in (first, average([first, network.scorer()])):
        prior = ChoicePrior(scorer.choice_scorer(), *gaussian(scorer.user_table().double(), 1.0))
        row = prior.posterior_mode(torch.tensor([3, 8]))
        assert row.shape == scorer.user_table().shape[1:]
        mean, fitted = (
            scores(scorer.choice_scorer(), one).log_softmax(0)[[3, 8]].sum()
            for one in (prior.mean.float(), row)
        )
        assert fitted > mean + 0.01


def test_liked_items_rise_and_more_of_them_count_more(scorer: Scorer) -> None:
    prior = prior_of(scorer)
    shares = [
        float(scores(scorer, prior.posterior_mode(torch.tensor(liked))).softmax(0)[4])
        for liked in ([], [4], [4, 4, 4])
    ]
    assert shares == sorted(shares)
    assert shares[2] > shares[0] + 0.01


def test_a_large_catalogue_is_sampled(scorer: Scorer, monkeypatch: pytest.MonkeyPatch) -> None:
    prior, chosen = prior_of(scorer), torch.tensor([1, 5])
    exact = prior.posterior_mode(chosen)
    assert prior._sampled_items().tolist() == list(range(N_ITEMS))
    monkeypatch.setattr(fold_in_choices, "SAMPLE_SIZE", 6)
    assert len(set(prior._sampled_items().tolist())) == 6
    sampled = prior.posterior_mode(chosen)
    assert torch.equal(sampled, prior.posterior_mode(chosen)), "the same sample in every call"
    distance = (sampled - exact).norm() / (exact - scorer.user_table().mean(0)).norm()
    assert 0 < distance < 1


def test_absurd_weights_are_refused(scorer: Scorer) -> None:
    huge = scorer.with_items(scorer.item_table() * 1e39)
    with pytest.raises(ValueError, match="not finite"):
        ChoicePrior(huge, *gaussian(scorer.user_table().double(), 1.0)).posterior_mode(torch.tensor([1]))
