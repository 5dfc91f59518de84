"""Fold-in of choices: estimate a new user's vector from the items that the user has chosen.

The vector x is a row of `Scorer.user_table`. Its prior is a Gaussian fitted as in `fold_in`, with the spread
`CHOICE_SPREAD`. Items are chosen independently of each other, with softmax probabilities:

    x ~ N(mu, S),    P(item i | x) = exp(s(x, i)) / sum over j of exp(s(x, j))

where s is the score of `Scorer.choice_scorer`. loss=joint and loss=softmax (with temperature 1) train approximations of
this model, and loss=bpr trains the order of pairs of items. The estimate is the mode of the posterior (MAP), found by
L-BFGS.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from recsys.inference.fold_in import gaussian, trained_rows
from recsys.models.scorer import Scorer
from recsys.runs.load import LoadedRun

CHOICE_SPREAD = 1.0  # factor of the covariance; see "Which items a new user chooses" in docs/fold-in.md
MAX_STEPS = 50
SAMPLE_SIZE = 5000  # in larger catalogues, the sum of the softmax is estimated from this many items


@dataclass(frozen=True, eq=False)
class ChoicePrior:
    """The distribution of a user's vector before the first choice.

    Attributes:
        scorer: scores the choices of the trained users; see `Scorer.choice_scorer`.
        mean: (w,), float64, on the scorer's device; the mean of the trained users' rows.
        root: (w, w), float64, on the scorer's device; root @ root.T is the covariance of these rows times the spread.
    """

    scorer: Scorer
    mean: Tensor
    root: Tensor

    @classmethod
    def of_run(cls, run: LoadedRun, spread: float = CHOICE_SPREAD) -> "ChoicePrior | None":
        """Return the prior of new users for a run; None if the run does not predict choices.

        Raises:
            RunError: there are fewer than two trained users, or their rows are longer than `MAX_WIDTH`.
        """
        scorer = run.checkpoint.scorer
        if (choices := scorer.choice_scorer()) is None:
            return None
        mean, root = gaussian(trained_rows(scorer, run.data.trained_users), spread)
        return cls(choices, mean.to(scorer.device), root.to(scorer.device))

    def posterior_mode(self, chosen: Tensor) -> Tensor:
        """Return the MAP estimate of the row of a user, float32 (w,).

        Args:
            chosen: indices of the items that the user chose (n,); with n = 0, the estimate is the mean row.

        Raises:
            ValueError: the weights of the run are so large that scores are not finite.
        """
        chosen = chosen.to(self.mean.device)
        items = torch.cat([chosen, self._sampled_items()])
        z = torch.zeros_like(self.mean, requires_grad=True)  # x = mean + root z, so the prior of z is N(0, I)

        def cost() -> Tensor:
            scorer = self.scorer.with_users((self.mean + self.root @ z)[None].float())
            scores = scorer(torch.zeros_like(items), items).double()
            # The sum over a sample differs from that over the catalogue by a factor, so the mode is the same.
            log_sum = scores[len(chosen) :].logsumexp(0)
            return (log_sum - scores[: len(chosen)]).sum() + z.square().sum() / 2

        def closure() -> Tensor:
            optimizer.zero_grad()
            value = cost()
            value.backward()
            return value

        if len(chosen):
            optimizer = torch.optim.LBFGS([z], max_iter=MAX_STEPS, line_search_fn="strong_wolfe")
            with torch.enable_grad():
                initial_cost = optimizer.step(closure)
            if not (initial_cost.isfinite() and z.isfinite().all()):
                raise ValueError("scores are not finite")
        return (self.mean + self.root @ z.detach()).float()

    def _sampled_items(self) -> Tensor:
        """Return the items (m,) over which the softmax is normalised: all, or always the same sample."""
        n_items = self.scorer.n_items
        if n_items <= SAMPLE_SIZE:
            return torch.arange(n_items, device=self.mean.device)
        generator = torch.Generator().manual_seed(0)
        return torch.randperm(n_items, generator=generator)[:SAMPLE_SIZE].to(self.mean.device)
