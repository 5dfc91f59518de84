"""Fold-in of choices: the vector of a new user from the items that they have chosen.

The vector x is a row of `Scorer.user_table` with the Gaussian prior of `fold_in`. Items are chosen from the catalogue
with softmax probabilities, which is what the joint loss and ranking losses train, exactly or approximately:

    x ~ N(mu, S),    P(item i | x) = exp(s(x, i)) / sum over j of exp(s(x, j))

The estimate is the mode of the posterior (MAP), found by L-BFGS.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from recsys.inference.fold_in import gaussian, trained_rows
from recsys.models.scorer import Scorer
from recsys.runs.load import LoadedRun

SPREAD = (
    1.0  # by which the covariance of the trained users' rows is multiplied; selected as in docs/fold-in.md
)
MAX_STEPS = 50
MAX_SAMPLED = 5000  # larger catalogues are sampled


@dataclass(frozen=True, eq=False)
class ChoicePrior:
    """The distribution of a user's vector before the first choice.

    Attributes:
        chooser: of the trained users; see `Scorer.chooser`.
        mean: (w,), float64, on the scorer's device; the mean of the trained users' rows.
        root: (w, w), likewise; root @ root.T is their covariance, times the spread.
    """

    chooser: Scorer
    mean: Tensor
    root: Tensor

    @classmethod
    def of_run(cls, run: LoadedRun, spread: float = SPREAD) -> "ChoicePrior | None":
        """Return the prior of new users for a run; None if it does not predict choices.

        Raises:
            RunError: there is only one trained user, or a row is too long.
        """
        scorer = run.checkpoint.scorer
        if (chooser := scorer.chooser()) is None:
            return None
        mean, root = gaussian(trained_rows(scorer, run.data.trained_users), spread)
        return cls(chooser, mean.to(scorer.device), root.to(scorer.device))

    def most_likely(self, chosen: Tensor) -> Tensor:
        """Return the row (w,), float32, of a user who chose items with these indices (n,); n = 0: the mean row.

        Raises:
            ValueError: the weights of the run are so large that scores are not finite.
        """
        chosen = chosen.to(self.mean.device)
        candidates, correction = self._candidates()
        z = torch.zeros_like(self.mean, requires_grad=True)  # x = mean + root z, so the prior of z is N(0, I)

        def cost() -> Tensor:
            user = self.chooser.with_users((self.mean + self.root @ z)[None].float())
            items = torch.cat([chosen, candidates])
            scores = user(torch.zeros_like(items), items).double()
            of_all = scores[len(chosen) :].logsumexp(0) + correction
            return (of_all - scores[: len(chosen)]).sum() + z.square().sum() / 2

        def closure() -> Tensor:
            optimizer.zero_grad()
            value = cost()
            value.backward()
            return value

        if len(chosen):
            optimizer = torch.optim.LBFGS([z], max_iter=MAX_STEPS, line_search_fn="strong_wolfe")
            with torch.enable_grad():
                first = optimizer.step(closure)
            if not (first.isfinite() and z.isfinite().all()):
                raise ValueError("scores are not finite")
        return (self.mean + self.root @ z.detach()).float()

    def _candidates(self) -> tuple[Tensor, float]:
        """Return the items (m,) from which a choice is made, and the log of how many items each stands for."""
        n_items, device = self.chooser.n_items, self.mean.device
        if n_items <= MAX_SAMPLED:
            return torch.arange(n_items, device=device), 0.0
        generator = torch.Generator().manual_seed(0)
        sampled = torch.randperm(n_items, generator=generator)[:MAX_SAMPLED]
        return sampled.to(device), math.log(n_items / MAX_SAMPLED)
