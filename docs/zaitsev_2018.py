"""Draw docs/images/zaitsev-2018.png from a run of experiment=zaitsev-2018.

python docs/zaitsev_2018.py outputs/runs/<date>_<time>-<microseconds>
"""

import sys
from pathlib import Path

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from recsys.runs.folder import find_run, read_json

# Validation MSE per epoch, from the article's notebook (devforfu/pytorch_playground, movielens.ipynb).
ARTICLE_MSE = [0.8223, 0.8076, 0.7984, 0.7867, 0.7864, 0.7833, 0.7842, 0.7904]
ARTICLE_MSE += [0.7885, 0.7993, 0.7925, 0.8075, 0.8025, 0.8153, 0.8147, 0.8214]
ARTICLE_RMSE = 0.8854


def draw(run: Path) -> Figure:
    """Return a figure of validation RMSE per epoch, in the article and in this run, and the RMSE that each reports."""
    events = EventAccumulator(str(run)).Reload()
    ours = [event.value for event in events.Scalars("val/rmse")]
    test = read_json(run / "result.json")["metrics"]["test/rmse"]
    figure = Figure(figsize=(8, 4.6), layout="constrained")
    axes = figure.subplots()
    article = [mse**0.5 for mse in ARTICLE_MSE]
    axes.plot(range(1, 17), article, "o-", color="tab:gray", label="the article, dropout on")
    axes.plot(range(1, len(ours) + 1), ours, "o-", color="tab:blue", label="experiment=zaitsev-2018")
    axes.axhline(ARTICLE_RMSE, color="tab:gray", linestyle=":", label=f"the article reports {ARTICLE_RMSE}")
    axes.axhline(test, color="tab:blue", linestyle=":", label=f"our test set: {test:.4f}")
    axes.set(
        xlabel="epoch", ylabel="validation RMSE", title="ML-1M, embeddings of 150, layers of 500, 500, 500"
    )
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    figure.legend(loc="outside lower center", ncols=2, frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    return figure


if __name__ == "__main__":
    target = Path(__file__).parent / "images" / "zaitsev-2018.png"
    draw(find_run(sys.argv[1])).savefig(target, dpi=110)
    print(target)
