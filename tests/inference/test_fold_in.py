import copy
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from recsys.errors import RunError
from recsys.inference.fold_in import SPREAD, Prior, trained_rows
from recsys.models.base import RatingNetwork
from recsys.models.bias import Bias
from recsys.models.embedding_net import EmbeddingNet
from recsys.models.ensemble import EnsembleScorer
from recsys.models.matrix_factorization import MatrixFactorization
from recsys.models.network_scorer import NetworkScorer
from recsys.models.scorer import Scorer
from recsys.models.table_scorer import TableScorer
from recsys.models.transposed import TransposedScorer

N_USERS, N_ITEMS = 400, 60


def make_scorer(network_class: type[RatingNetwork], **arguments: object) -> Scorer:
    """A scorer whose rows vary as if trained."""
    torch.manual_seed(0)
    network = network_class(N_USERS, N_ITEMS, [1, 5], 3.2, **arguments).eval()
    for side, deviation in (("user", 0.5), ("item", 0.7)):
        for table in network.tables(side).values():
            nn.init.normal_(table.weight, mean=0.1, std=deviation)
    return network.scorer()


class UnknownNetwork(RatingNetwork):
    """A network without a scorer of its own."""

    def __init__(self, *arguments: object) -> None:
        super().__init__(*arguments)
        self.user_vector, self.user_scale = nn.Embedding(N_USERS, 2), nn.Embedding(N_USERS, 1)
        self.item_vector = nn.Embedding(N_ITEMS, 2)

    def logits(self, users: Tensor, items: Tensor) -> Tensor:
        products = torch.tanh(self.user_vector(users) * self.item_vector(items)).sum(-1)
        return products + self.user_scale(users).squeeze(-1)


SCORERS = {
    "bias": make_scorer(Bias),
    "matrix-factorization": make_scorer(MatrixFactorization, embedding_dim=3),
    "embedding-net": make_scorer(EmbeddingNet, embedding_dim=3, hidden=[16]),
    "network-scorer": make_scorer(UnknownNetwork),
}
SCORERS["ensemble"] = EnsembleScorer([SCORERS["matrix-factorization"], SCORERS["network-scorer"]])
ALL_USERS = torch.ones(N_USERS, dtype=torch.bool)
NO_RATINGS = torch.empty(0, dtype=torch.long), torch.empty(0)


@pytest.fixture(params=SCORERS)
def scorer(request: pytest.FixtureRequest) -> Scorer:
    return SCORERS[request.param]


def predictions_of(scorer: Scorer, user: int, items: Tensor) -> Tensor:
    return scorer(torch.full_like(items, user), items).detach()


def test_kinds_of_scorers() -> None:
    kinds = {type(scorer) for scorer in SCORERS.values()}
    assert kinds == {TableScorer, NetworkScorer, EnsembleScorer}


def prior_of(scorer: Scorer, trained_users: Tensor, noise: float, spread: float = SPREAD) -> Prior:
    return Prior.from_rows(scorer, trained_rows(scorer, trained_users), noise, spread)


def test_without_ratings_the_estimate_is_the_mean_user(scorer: Scorer) -> None:
    posterior = prior_of(scorer, ALL_USERS, noise=0.9).posterior(*NO_RATINGS)
    torch.testing.assert_close(posterior.x, scorer.user_table().double().mean(0), atol=1e-6, rtol=1e-5)
    assert posterior.explained() == pytest.approx(0, abs=1e-5)


def test_equal_users_leave_nothing_to_explain() -> None:
    scorer = make_scorer(Bias)
    scorer.user_biases.data.fill_(0.2)
    posterior = prior_of(scorer, ALL_USERS, noise=0.9).posterior(torch.tensor([3]), torch.tensor([5.0]))
    assert posterior.explained() == pytest.approx(0, abs=1e-6)
    prior = replace(posterior.prior, root=torch.zeros_like(posterior.prior.root))
    assert prior.posterior(torch.tensor([3]), torch.tensor([5.0])).explained() == 0


@pytest.mark.filterwarnings("error")
def test_one_trained_user_is_too_few(scorer: Scorer) -> None:
    with pytest.raises(RunError, match="needs the differences between trained users"):
        prior_of(scorer, torch.arange(N_USERS) == 3, noise=0.9)


def test_many_exact_ratings_identify_a_user(scorer: Scorer) -> None:
    """Sixty ratings without noise by user 7, who is not part of the prior."""
    items = torch.arange(N_ITEMS)
    true = predictions_of(scorer, 7, items)
    posterior = prior_of(scorer, torch.arange(N_USERS) != 7, noise=0.01).posterior(items, true)
    assert (posterior.scorer.score_catalogue(torch.tensor([0]))[0] - true).abs().max() < 0.02
    assert posterior.explained() > 0.99


def test_many_exact_ratings_identify_an_item(scorer: Scorer) -> None:
    """Ratings without noise of item 5, which is not part of the prior, by all users."""
    users = torch.arange(N_USERS)
    true = scorer(users, torch.full_like(users, 5)).detach()
    prior = prior_of(TransposedScorer(scorer), torch.arange(N_ITEMS) != 5, noise=0.01)
    posterior = prior.posterior(users, true)
    predicted = posterior.scorer(torch.zeros_like(users), users).detach()
    assert (predicted - true).abs().max() < 0.02
    assert posterior.explained() > 0.99


def test_the_prior_has_mean_and_covariance_of_the_trained_users() -> None:
    """With many users, shrinkage is small; the covariance is multiplied by the spread."""
    scorer = make_scorer(MatrixFactorization, embedding_dim=2)
    rows = scorer.user_table().double()
    prior = prior_of(scorer, ALL_USERS, 0.9, spread=2)
    torch.testing.assert_close(prior.root @ prior.root.T, 2 * rows.T.cov(), atol=0.05, rtol=0.05)
    trained = torch.arange(N_USERS) < 100
    torch.testing.assert_close(prior_of(scorer, trained, 0.9).mean, rows[trained].mean(0))


def test_few_users_are_shrunk_towards_independent_columns() -> None:
    scorer = make_scorer(MatrixFactorization, embedding_dim=15)
    trained = torch.arange(N_USERS) < 20
    rows = scorer.user_table()[trained].double()
    prior = prior_of(scorer, trained, 0.9, spread=1)
    covariance, sample = prior.root @ prior.root.T, rows.T.cov()
    off_diagonal = ~torch.eye(len(sample), dtype=torch.bool)
    assert covariance[off_diagonal].norm() < 0.5 * sample[off_diagonal].norm()
    assert covariance.trace().item() == pytest.approx(sample.trace().item(), rel=0.1)


def test_biases_match_the_closed_form() -> None:
    """One bias: MAP is (sum of residuals / noise^2 + m / s^2) / (n / noise^2 + 1 / s^2)."""
    scorer = SCORERS["bias"]
    prior = prior_of(scorer, ALL_USERS, noise=0.8, spread=1)
    items, ratings = torch.tensor([3, 5, 8]), torch.tensor([5.0, 4.0, 2.0])
    mean, variance = prior.mean.item(), prior.root.item() ** 2
    assert variance == pytest.approx(scorer.user_table().var().item(), rel=0.01)
    residuals = ratings - 3.2 - scorer.item_biases[items, 0]
    precision = 3 / 0.64 + 1 / variance
    expected = (residuals.sum().item() / 0.64 + mean / variance) / precision
    posterior = prior.posterior(items, ratings)
    assert posterior.x.item() == pytest.approx(expected, abs=1e-4)
    assert posterior.root.item() ** 2 == pytest.approx(1 / precision, rel=1e-4)
    torch.testing.assert_close(
        posterior.deviations(items), torch.full((3,), precision**-0.5, dtype=torch.float64)
    )
    assert posterior.explained() == pytest.approx(1 - 1 / (precision * variance), abs=1e-4)


def test_the_estimate_is_a_minimum_of_the_cost(scorer: Scorer) -> None:
    prior = prior_of(scorer, ALL_USERS, noise=0.5)
    items, ratings = torch.arange(0, 60, 6), torch.tensor([5.0, 1.0] * 5)
    posterior = prior.posterior(items, ratings)
    inverse = torch.linalg.inv(prior.root)

    def cost(x: Tensor) -> float:
        residuals = (ratings - prior.linearise(x, items)[0]) / 0.5
        return float(residuals.square().sum() + (inverse @ (x - prior.mean)).square().sum())

    lowest, generator = cost(posterior.x), torch.Generator().manual_seed(0)
    for _ in range(50):
        step = torch.randn(len(posterior.x), generator=generator, dtype=torch.float64)
        assert cost(posterior.x + 0.05 * step) > lowest - 1e-3


def test_more_ratings_explain_more(scorer: Scorer) -> None:
    prior = prior_of(scorer, ALL_USERS, noise=0.9)
    items = torch.arange(N_ITEMS)
    true = predictions_of(scorer, 7, items)
    explained = [prior.posterior(items[:n], true[:n]).explained() for n in (0, 1, 4, 16, 60)]
    assert explained == sorted(explained)
    assert explained[1] > 0


def test_derivatives_match_finite_differences(scorer: Scorer) -> None:
    prior, items = prior_of(scorer, ALL_USERS, 0.9), torch.tensor([4, 9, 4])
    x = scorer.user_table()[3].double()
    predictions, derivatives = prior.linearise(x, items)
    torch.testing.assert_close(predictions.float(), predictions_of(scorer, 3, items))
    for column in range(len(x)):
        step = 0.01 * torch.nn.functional.one_hot(torch.tensor(column), len(x))
        difference = prior.linearise(x + step, items)[0] - prior.linearise(x - step, items)[0]
        torch.testing.assert_close(derivatives[:, column], difference / 0.02, atol=1e-2, rtol=0)


def test_fold_in_changes_nothing_and_is_deterministic(scorer: Scorer) -> None:
    before = {name: value.clone() for name, value in scorer.state_dict().items()}
    prior = prior_of(scorer, ALL_USERS, 0.9)
    items, ratings = torch.tensor([1, 2, 3]), torch.tensor([5.0, 4.0, 1.0])
    assert torch.equal(prior.posterior(items, ratings).x, prior.posterior(items, ratings).x)
    assert all(torch.equal(value, before[name]) for name, value in scorer.state_dict().items())
    assert scorer.n_users == N_USERS
    assert prior.posterior(items, ratings).scorer.n_users == 1
    assert all(parameter.grad is None for parameter in scorer.parameters())


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_a_gpu_gives_the_same_estimate(scorer: Scorer) -> None:
    items, ratings = torch.tensor([1, 2, 3]), torch.tensor([5.0, 4.0, 1.0])
    expected = prior_of(scorer, ALL_USERS, 0.9).posterior(items, ratings)
    on_gpu = prior_of(copy.deepcopy(scorer).cuda(), ALL_USERS, 0.9).posterior(items, ratings)
    assert on_gpu.x.device.type == "cuda"
    torch.testing.assert_close(on_gpu.x.cpu(), expected.x, atol=1e-3, rtol=0)
    torch.testing.assert_close(on_gpu.deviations(items).cpu(), expected.deviations(items), atol=1e-3, rtol=0)
    assert on_gpu.explained() == pytest.approx(expected.explained(), abs=1e-3)
