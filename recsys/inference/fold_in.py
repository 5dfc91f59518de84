"""A person the model has never met: their vector from a few ratings, while the network stands still.

The person's rows x (all user tables side by side) are taken to be drawn from the Gaussian of the trained
users' rows, and their ratings to be the network's plus Gaussian noise:

    x ~ N(mu, S),    r_i = f(x, m_i) + e_i,    e_i ~ N(0, noise^2)

The fit is the mode of the posterior (MAP), found by damped Gauss-Newton steps, with the covariance of the
linearised model there (Bishop 2006, Pattern Recognition and Machine Learning, sections 3.3 and 4.5.1). For
matrix factorization, where f is linear in x, both are exact.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from recsys.models.base import RatingNetwork

# LoadedCheckpoint rows are fitted values, drawn together by weight decay and early stopping: people vary by more than
# they do. Best on the validation users of docs/fold-in.md over two kinds of network (1.0 and 2.0 are theirs).
SPREAD = 1.5
MAX_STEPS = 50
PAIRS_AT_ONCE = 1 << 14


def ledoit_wolf(rows: Tensor) -> Tensor:
    """The covariance (d, d) of centred rows (n, d), shrunk towards a multiple of the identity.

    By as much as the sampling error of the entries asks for (Ledoit and Wolf 2004, A well-conditioned
    estimator for large-dimensional covariance matrices, section 3.3): hardly at all where n is far above d.
    """
    n, d = rows.shape
    sample, identity = rows.T @ rows / n, torch.eye(d, dtype=rows.dtype)
    level = sample.trace() / d
    spread = (sample - level * identity).square().sum()
    error = (rows.square().sum(1).square().mean() - sample.square().sum()) / n
    weight = (error / spread).clamp(0, 1) if spread > 0 else torch.ones(())
    return weight * level * identity + (1 - weight) * sample


@dataclass(frozen=True, eq=False)
class Prior:
    """What is known of a person before their first rating.

    Attributes:
        network: the trained network, in evaluation mode, on the CPU.
        mean: (d,); of the trained users' rows, all user tables side by side.
        root: (d, d); root @ root.T is their covariance times the spread. Algebra is in float64.
        noise: standard deviation of a rating around the network's prediction, in rating points.
    """

    network: RatingNetwork
    mean: Tensor
    root: Tensor
    noise: float

    @classmethod
    def of(cls, network: RatingNetwork, trained: Tensor, noise: float, spread: float = SPREAD) -> "Prior":
        """From a trained network.

        Args:
            network: in evaluation mode, on the CPU.
            trained: bool (n_users,); which users have training ratings.
            noise: the run's validation RMSE.
            spread: what the covariance is multiplied by.
        """
        rows = torch.cat([table.weight.detach() for table in network.tables("user").values()], dim=1)
        rows = rows[trained].double()
        # Tables differ in scale (a bias beside a vector); what is shrunk is of columns of unit variance.
        scale = rows.std(0).clamp_min(1e-8)
        values, vectors = torch.linalg.eigh(ledoit_wolf((rows - rows.mean(0)) / scale))
        root = scale[:, None] * vectors * (spread * values.clamp_min(0)).sqrt()
        return cls(network, rows.mean(0), root, noise)

    def rate(self, x: Tensor, items: Tensor) -> tuple[Tensor, Tensor]:
        """Ratings (n,) of item rows (n,) by a person with rows x (d,), and their derivatives (n, d) by x."""
        parts = [self._rate(x, some) for some in items.split(PAIRS_AT_ONCE)]
        ratings, slopes = (torch.cat(column).double() for column in zip(*parts, strict=True))
        return ratings, slopes

    def _rate(self, x: Tensor, items: Tensor) -> tuple[Tensor, Tensor]:
        # A copy of x for every pair: then one backward pass gives each pair's own derivative.
        network = self.with_people(x.expand(len(items), -1))
        with torch.enable_grad():
            ratings = network(torch.arange(len(items)), items)
            tables = [table.weight for table in network.tables("user").values()]
            slopes = torch.autograd.grad(ratings.sum(), tables)
        return ratings.detach(), torch.cat(slopes, dim=1)

    def with_people(self, x: Tensor) -> RatingNetwork:
        """The network for people with rows x (n, d), one user row each."""
        tables = self.network.tables("user")
        rows = x.float().split([table.embedding_dim for table in tables.values()], dim=1)
        return self.network.with_users(dict(zip(tables, rows, strict=True)))

    def fit(self, items: Tensor, ratings: Tensor) -> "Posterior":
        """What is known of a person after their ratings.

        Args:
            items: item rows, int64 (n,); n = 0 gives the mean user.
            ratings: float32 (n,).
        """
        # x = mu + root z turns the prior into N(0, I). The sum to minimise is
        # |r - f(x)|^2 / noise^2 + |z|^2; steps are Levenberg's.
        z, damping = torch.zeros_like(self.mean), 0.0
        left, slope, cost = self._at(z, items, ratings)
        identity = torch.eye(len(z), dtype=z.dtype)
        for _ in range(MAX_STEPS):
            curvature = slope.T @ slope + identity
            step = torch.linalg.solve(curvature + damping * identity, slope.T @ left - z)
            ahead = self._at(z + step, items, ratings)
            if ahead[2] > cost:  # too far: shorter
                damping = max(4 * damping, 1.0)
                continue
            z, damping, gained = z + step, damping / 4, cost - ahead[2]
            left, slope, cost = ahead
            if gained <= 1e-6 * (1 + cost):
                break
        # curvature = C C', so the covariance of z is C'^-1 C^-1, and C'^-1 is a root of it.
        factor = torch.linalg.cholesky(slope.T @ slope + identity)
        root = torch.linalg.solve_triangular(factor.T, identity, upper=True)
        return Posterior(self, self.mean + self.root @ z, self.root @ root)

    def _at(self, z: Tensor, items: Tensor, ratings: Tensor) -> tuple[Tensor, Tensor, float]:
        """Residuals and slopes in units of the noise, and twice the negative log posterior, at z."""
        predicted, derivative = self.rate(self.mean + self.root @ z, items)
        left = (ratings - predicted) / self.noise
        return left, derivative @ self.root / self.noise, float(left @ left + z @ z)


@dataclass(frozen=True, eq=False)
class Posterior:
    """A person as their ratings show them.

    Attributes:
        prior: what was known before.
        x: (d,); the most likely rows.
        root: (d, d); a square root of their covariance.
    """

    prior: Prior
    x: Tensor
    root: Tensor

    @property
    def network(self) -> RatingNetwork:
        """The trained network for this one person, who is user row 0."""
        return self.prior.with_people(self.x[None])

    def deviations(self, items: Tensor) -> Tensor:
        """How uncertain the person's rows leave the ratings of items (n,): standard deviations (n,).

        The noise of a single rating is not in them.
        """
        return (self.prior.rate(self.x, items)[1] @ self.root).norm(dim=1)

    def known(self) -> float:
        """How far the ratings tell this person from the mean user, 0 to 1.

        The share by which they have reduced the variance of predictions, over the whole catalogue.
        """
        slopes = self.prior.rate(self.x, torch.arange(self.prior.network.n_items))[1]
        before = (slopes @ self.prior.root).square().sum()
        return float(1 - (slopes @ self.root).square().sum() / before)
