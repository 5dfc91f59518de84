import time

import pytest
import torch
from sklearn import covariance
from torch import Tensor, nn

from recsys.inference.fold_in import Prior, ledoit_wolf
from recsys.models.base import RatingNetwork
from recsys.models.bias import Bias
from recsys.models.embedding_net import EmbeddingNet
from recsys.models.matrix_factorization import MatrixFactorization

N_USERS, N_ITEMS = 400, 60


def made(kind: type[RatingNetwork], **arguments: object) -> RatingNetwork:
    """A network with rows that vary, as if trained."""
    torch.manual_seed(0)
    network = kind(N_USERS, N_ITEMS, [1, 5], 3.2, **arguments).eval()
    for side, spread in (("user", 0.5), ("item", 0.7)):
        for table in network.tables(side).values():
            nn.init.normal_(table.weight, mean=0.1, std=spread)
    return network


NETWORKS = {
    "bias": made(Bias),
    "matrix-factorization": made(MatrixFactorization, embedding_dim=3),
    "embedding-net": made(EmbeddingNet, embedding_dim=3, hidden=[16]),
}
EVERYBODY = torch.ones(N_USERS, dtype=torch.bool)


@pytest.fixture(params=NETWORKS)
def network(request: pytest.FixtureRequest) -> RatingNetwork:
    return NETWORKS[request.param]


def rows_of(network: RatingNetwork, user: int) -> Tensor:
    return torch.cat([table.weight.detach()[user] for table in network.tables("user").values()])


def test_no_rating_leaves_the_mean_user(network: RatingNetwork) -> None:
    posterior = Prior.of(network, EVERYBODY, noise=0.9).fit(torch.empty(0, dtype=torch.long), torch.empty(0))
    mean = torch.cat([table.weight.detach().mean(0) for table in network.tables("user").values()])
    torch.testing.assert_close(posterior.x, mean.double())
    assert posterior.known() == pytest.approx(0, abs=1e-5)


def test_many_exact_ratings_find_a_user_again(network: RatingNetwork) -> None:
    """Sixty ratings without noise by user 7, who is left out of the prior."""
    items = torch.arange(N_ITEMS)
    true = network(torch.full_like(items, 7), items).detach()
    posterior = Prior.of(network, torch.arange(N_USERS) != 7, noise=0.01).fit(items, true)
    assert (posterior.network.score(torch.tensor([0]))[0] - true).abs().max() < 0.02
    assert posterior.known() > 0.99


@pytest.mark.parametrize(("n", "d"), [(20, 30), (500, 5), (40, 1)])
def test_the_covariance_is_ledoit_and_wolfs(n: int, d: int) -> None:
    rows = torch.randn(n, d, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    rows = rows @ torch.diag(torch.arange(1.0, d + 1, dtype=torch.float64))
    rows -= rows.mean(0)
    expected, _ = covariance.ledoit_wolf(rows.numpy())
    torch.testing.assert_close(ledoit_wolf(rows), torch.from_numpy(expected))


def test_the_prior_is_the_users_own_spread() -> None:
    """Many users: their mean and covariance, times the spread."""
    network = made(MatrixFactorization, embedding_dim=2)
    rows = torch.stack([rows_of(network, user) for user in range(N_USERS)])
    prior = Prior.of(network, EVERYBODY, 0.9, spread=2)
    torch.testing.assert_close(prior.root @ prior.root.T, 2 * rows.double().T.cov(), atol=0.05, rtol=0.05)
    few = torch.arange(N_USERS) < 100
    torch.testing.assert_close(Prior.of(network, few, 0.9).mean, rows[few].double().mean(0))


def test_biases_are_the_closed_form() -> None:
    """One bias: MAP is (sum of residuals / noise^2 + m / s^2) / (n / noise^2 + 1 / s^2)."""
    network = NETWORKS["bias"]
    prior = Prior.of(network, EVERYBODY, noise=0.8, spread=1)
    items, ratings = torch.tensor([3, 5, 8]), torch.tensor([5.0, 4.0, 2.0])
    mean, variance = prior.mean.item(), prior.root.item() ** 2
    assert variance == pytest.approx(network.user_bias.weight.var().item(), rel=0.01)
    left = ratings - 3.2 - network.item_bias.weight[items, 0].detach()
    precision = 3 / 0.64 + 1 / variance
    expected = (left.sum().item() / 0.64 + mean / variance) / precision
    posterior = prior.fit(items, ratings)
    assert posterior.x.item() == pytest.approx(expected, abs=1e-4)
    assert posterior.root.item() ** 2 == pytest.approx(1 / precision, rel=1e-4)
    torch.testing.assert_close(
        posterior.deviations(items), torch.full((3,), precision**-0.5, dtype=torch.float64)
    )
    assert posterior.known() == pytest.approx(1 - 1 / (precision * variance), abs=1e-4)


def test_is_a_minimum(network: RatingNetwork) -> None:
    prior = Prior.of(network, EVERYBODY, noise=0.5)
    items, ratings = torch.arange(0, 60, 6), torch.tensor([5.0, 1.0] * 5)
    posterior = prior.fit(items, ratings)
    inverse = torch.linalg.inv(prior.root.double())

    def cost(x: Tensor) -> float:
        left = (ratings - prior.rate(x.float(), items)[0]) / 0.5
        return float(left.double().square().sum() + (inverse @ (x - prior.mean.double())).square().sum())

    best, random = cost(posterior.x.double()), torch.Generator().manual_seed(0)
    for _ in range(50):
        step = torch.randn(len(posterior.x), generator=random, dtype=torch.float64)
        assert cost(posterior.x.double() + 0.05 * step) > best - 1e-3


def test_more_ratings_tell_more(network: RatingNetwork) -> None:
    prior = Prior.of(network, EVERYBODY, noise=0.9)
    items = torch.arange(N_ITEMS)
    true = network(torch.full_like(items, 7), items).detach()
    known = [prior.fit(items[:n], true[:n]).known() for n in (0, 1, 4, 16, 60)]
    assert known == sorted(known)
    assert known[1] > 0


def test_the_derivative_is_each_pairs_own(network: RatingNetwork) -> None:
    prior, items = Prior.of(network, EVERYBODY, 0.9), torch.tensor([4, 9, 4])
    ratings, slopes = prior.rate(rows_of(network, 3), items)
    torch.testing.assert_close(ratings.float(), network(torch.tensor([3, 3, 3]), items).detach())
    step = 0.01 * torch.nn.functional.one_hot(torch.tensor(0), slopes.shape[1])
    ahead = (
        prior.rate(rows_of(network, 3) + step, items)[0] - prior.rate(rows_of(network, 3) - step, items)[0]
    )
    torch.testing.assert_close(slopes[:, 0], ahead / 0.02, atol=1e-2, rtol=0)


def test_the_network_stands_still_and_answers_repeat(network: RatingNetwork) -> None:
    before = {name: value.clone() for name, value in network.state_dict().items()}
    prior = Prior.of(network, EVERYBODY, 0.9)
    items, ratings = torch.tensor([1, 2, 3]), torch.tensor([5.0, 4.0, 1.0])
    assert torch.equal(prior.fit(items, ratings).x, prior.fit(items, ratings).x)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert network.n_users == N_USERS
    assert all(parameter.grad is None for parameter in network.parameters())


def test_a_wide_network_takes_well_under_a_second() -> None:
    network = made(EmbeddingNet, embedding_dim=150, hidden=[500, 500, 500])
    prior = Prior.of(network, EVERYBODY, 0.9)
    start = time.perf_counter()
    prior.fit(torch.arange(20), torch.tensor([5.0, 3.0] * 10))
    assert time.perf_counter() - start < 1
