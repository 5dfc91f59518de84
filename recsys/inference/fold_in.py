"""Fold-in: estimate the vector of a new user or a new item from a few ratings, without training.

This module speaks of users; for items, it gets a `TransposedScorer`. The vector x is a row of `Scorer.user_table`. Its
prior is the Gaussian of the trained users' rows; ratings are the scorer's predictions plus Gaussian noise:

    x ~ N(mu, S),    r_i = f(x, item_i) + e_i,    e_i ~ N(0, noise^2)

The estimate is the mode of the posterior (MAP), found by damped Gauss-Newton steps. Its covariance is that of
the model linearised at the mode (Bishop 2006, Pattern Recognition and Machine Learning, sections 3.3 and 4.5.1).
Where f is linear in x, as in matrix factorization, both are exact.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from recsys.errors import RunError
from recsys.models.scorer import Scorer
from recsys.runs.folder import RESULT
from recsys.runs.load import LoadedRun

# Weight decay and early stopping shrink the trained rows towards their mean, so users vary more than these rows. A
# compromise between two networks, whose best values on the validation users of docs/fold-in.md are 1.0 and 2.0.
SPREAD = 1.5
MAX_STEPS = 50
MAX_WIDTH = 4096  # numbers per user; the covariance of more takes minutes and hundreds of megabytes
PAIRS_PER_CHUNK = 1 << 14


@dataclass(frozen=True, eq=False)
class Prior:
    """The distribution of a user's vector before the first rating.

    All tensors are float64, on the scorer's device.

    Attributes:
        scorer: the scorer of the trained users.
        mean: (w,); by default the mean of the trained users' rows.
        root: (w, w); root @ root.T is their covariance, times the spread.
        noise: standard deviation of a rating around its prediction, in rating points.
    """

    scorer: Scorer
    mean: Tensor
    root: Tensor
    noise: float

    @classmethod
    def of_run(cls, run: LoadedRun, spread: float = SPREAD) -> "Prior":
        """Return the prior of new users for a run that predicts ratings; see `from_rows`.

        Raises:
            RunError: the validation error in its result.json is not possible, or a row is too long.
        """
        scorer = run.checkpoint.scorer
        return cls.from_rows(scorer, trained_rows(scorer, run.data.trained_users), noise_of(run), spread)

    @classmethod
    def from_rows(cls, scorer: Scorer, rows: Tensor, noise: float, spread: float = SPREAD) -> "Prior":
        """Estimate the prior from the rows of the trained users; see `gaussian`.

        Args:
            scorer: predicts ratings.
            rows: the rows, float64 (n, w).
            noise: the validation RMSE of the run.
            spread: factor by which the covariance is multiplied.
        """
        mean, root = gaussian(rows, spread)
        return cls(scorer, mean.to(scorer.device), root.to(scorer.device), noise)

    def posterior(self, items: Tensor, ratings: Tensor) -> "Posterior":
        """Return the distribution of a user's vector given ratings.

        Args:
            items: item indices (n,); with n = 0, the estimate is the mean user.
            ratings: their ratings (n,).
        """
        # With x = mu + root z the prior of z is N(0, I). The cost |r - f(x)|^2 / noise^2 + |z|^2 is minimised by
        # Levenberg's method.
        items, ratings = items.to(self.mean.device), ratings.to(self.mean.device)
        z, damping = torch.zeros_like(self.mean), 0.0
        residuals, jacobian, cost = self._evaluate(z, items, ratings)
        identity = torch.eye(len(z), dtype=z.dtype, device=z.device)
        for _ in range(MAX_STEPS):
            curvature = jacobian.T @ jacobian + identity
            step = torch.linalg.solve(curvature + damping * identity, jacobian.T @ residuals - z)
            candidate = self._evaluate(z + step, items, ratings)
            if candidate[2] > cost:  # the step is too long
                damping = max(4 * damping, 1.0)
                continue
            z, damping, decrease = z + step, damping / 4, cost - candidate[2]
            residuals, jacobian, cost = candidate
            if decrease <= 1e-6 * (1 + cost):
                break
        # With curvature = C C', the covariance of z is C'^-1 C^-1, so C'^-1 is a root of it.
        factor = torch.linalg.cholesky(jacobian.T @ jacobian + identity)
        root = torch.linalg.solve_triangular(factor.T, identity, upper=True)
        return Posterior(self, self.mean + self.root @ z, self.root @ root)

    def linearise(self, x: Tensor, items: Tensor) -> tuple[Tensor, Tensor]:
        """Return unclipped predictions for a user with vector x, and their derivatives.

        Args:
            x: (w,).
            items: item indices (n,), on the scorer's device.

        Returns:
            Predictions (n,) and derivatives with respect to x (n, w).
        """
        chunks = [self._linearise(x, chunk) for chunk in items.split(PAIRS_PER_CHUNK)]
        predictions, derivatives = (torch.cat(column).double() for column in zip(*chunks, strict=True))
        return predictions, derivatives

    def _linearise(self, x: Tensor, items: Tensor) -> tuple[Tensor, Tensor]:
        # One copy of x per item: a single backward pass then yields each prediction's own derivative.
        users = x.float().repeat(len(items), 1).requires_grad_()
        with torch.enable_grad():
            predictions = self.scorer.with_users(users)(torch.arange(len(items), device=items.device), items)
            (derivatives,) = torch.autograd.grad(predictions.sum(), users)
        return predictions.detach(), derivatives

    def _evaluate(self, z: Tensor, items: Tensor, ratings: Tensor) -> tuple[Tensor, Tensor, float]:
        """Return residuals and derivatives with respect to z in units of the noise, and the cost."""
        predictions, derivatives = self.linearise(self.mean + self.root @ z, items)
        residuals = (ratings - predictions) / self.noise
        return residuals, derivatives @ self.root / self.noise, float(residuals @ residuals + z @ z)


def gaussian(rows: Tensor, spread: float) -> tuple[Tensor, Tensor]:
    """Fit a Gaussian to rows.

    The covariance is shrunk towards a multiple of the identity (Ledoit and Wolf 2004), after all columns are scaled to
    unit variance: biases and vectors have different scales.

    Args:
        rows: float64 (n, w), on the CPU.
        spread: factor by which the covariance is multiplied.

    Returns:
        The mean (w,), and a root of the covariance (w, w): root @ root.T.
    """
    from sklearn.covariance import ledoit_wolf  # takes a second to import, and only fold-in needs it

    mean, scale = rows.mean(0), rows.std(0).clamp_min(1e-8)
    shrunk, _ = ledoit_wolf(((rows - mean) / scale).numpy(), assume_centered=True)
    values, vectors = torch.linalg.eigh(torch.from_numpy(shrunk))
    return mean, scale[:, None] * vectors * (spread * values.clamp_min(0)).sqrt()


def trained_rows(scorer: Scorer, trained_users: Tensor) -> Tensor:
    """Return the rows of the trained users: float64 (n, w), on the CPU.

    Args:
        scorer: of the trained users.
        trained_users: bool (n_users,); which users have training ratings.

    Raises:
        RunError: there is only one row, or rows are too long, because too many networks are averaged.
    """
    rows = scorer.user_table().detach().cpu()[trained_users.cpu()].double()
    if len(rows) < 2:
        raise RunError(
            "fold-in needs the differences between trained users (for a new item: items), and there is only one; "
            "train on more ratings"
        )
    if (width := rows.shape[1]) > MAX_WIDTH:
        raise RunError(
            f"fold-in: {width:,} numbers describe each user, over all averaged networks; at most {MAX_WIDTH:,} are "
            "possible. Use a run with fewer snapshots or shorter vectors"
        )
    return rows


def noise_of(run: LoadedRun) -> float:
    """Return the validation RMSE of a run, as the standard deviation of a rating around its prediction.

    Raises:
        RunError: the value in its result.json is not possible.
    """
    rmse, (low, high) = float(run.result["metrics"].get("val/rmse", 0.0)), run.checkpoint.scorer.scale
    if not 1e-6 < rmse / (high - low) <= 1:
        raise RunError(
            f"val/rmse={rmse:.3g} in {RESULT}: fold-in needs the validation error of the run, which is above 0 and "
            f"at most {high - low:g}; train the run again"
        )
    return rmse


@dataclass(frozen=True, eq=False)
class Posterior:
    """The distribution of a user's vector after some ratings.

    Attributes:
        prior: the distribution before these ratings.
        x: (w,); the most likely vector.
        root: (w, w); root @ root.T is the covariance.
    """

    prior: Prior
    x: Tensor
    root: Tensor

    @property
    def scorer(self) -> Scorer:
        """A scorer whose only user, at index 0, is this one."""
        return self.prior.scorer.with_users(self.x[None].float())

    def deviations(self, items: Tensor) -> Tensor:
        """Return the standard deviations (n,) of predictions for item indices (n,).

        They come from the uncertainty about the user's vector; the noise of single ratings is not included.
        """
        _, derivatives = self.prior.linearise(self.x, items.to(self.x.device))
        return (derivatives @ self.root).norm(dim=1)

    def explained(self) -> float:
        """Return the share of the prior variance of predictions that the ratings explain, 0 to 1.

        Variances are summed over the full catalogue.
        """
        items = torch.arange(self.prior.scorer.n_items, device=self.x.device)
        _, derivatives = self.prior.linearise(self.x, items)
        before = (derivatives @ self.prior.root).square().sum()
        if before == 0:  # all predictions are the same for every user
            return 0.0
        return max(0.0, float(1 - (derivatives @ self.root).square().sum() / before))
