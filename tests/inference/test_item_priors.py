from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch

from recsys.errors import DataError
from recsys.inference.item_priors import ItemPriors
from recsys.models.bias import Bias
from recsys.models.matrix_factorization import MatrixFactorization

N_USERS, N_ITEMS = 30, 200
GENRES = np.where(np.arange(N_ITEMS) % 2, "Drama", "War")
YEARS = pd.array(np.where(np.arange(N_ITEMS) % 4 < 2, 1990, 2010), dtype="Int64")


def run_with(**table: object) -> SimpleNamespace:
    """A run in which an item's bias is that of its genre, -.5 or .5, plus that of its year, -.2 or .2, plus noise.

    Items 0 to 99 have ten times as many ratings as the others.
    """
    torch.manual_seed(0)
    network = MatrixFactorization(N_USERS, N_ITEMS, [1, 5], 3.0, embedding_dim=2)
    biases = torch.from_numpy(np.where(GENRES == "Drama", 0.5, -0.5) + np.where(YEARS > 2000, 0.2, -0.2))
    for weights in (network.user_embedding, network.item_embedding, network.user_bias):
        torch.nn.init.normal_(weights.weight, std=0.05)
    network.item_bias.weight.data = (biases[:, None] + 0.05 * torch.randn(N_ITEMS, 1)).float()
    columns = {"genres": GENRES, "year": YEARS} | table
    data = SimpleNamespace(
        item_table=pd.DataFrame(columns, index=range(N_ITEMS)),
        item_counts=np.where(np.arange(N_ITEMS) < 100, 100, 10),
        trained_items=torch.arange(N_ITEMS) != 7,
    )
    checkpoint = SimpleNamespace(scorer=network.eval().scorer())
    return SimpleNamespace(data=data, checkpoint=checkpoint, result={"metrics": {"val/rmse": 0.9}})


def mean_prediction(priors: ItemPriors, genres: list[str], year: int | None) -> float:
    """The predicted rating of an item without ratings, on average over all users."""
    posterior = priors.with_features(genres, year).posterior(torch.empty(0, dtype=torch.long), torch.empty(0))
    users = torch.arange(N_USERS)
    return float(posterior.scorer(torch.zeros_like(users), users).mean())


def test_the_mean_of_a_new_item_follows_its_genre_and_year() -> None:
    priors = ItemPriors(run_with())
    predictions = [mean_prediction(priors, [g], y) for g in ("War", "Drama") for y in (1992, 2014)]
    assert predictions == pytest.approx([2.3, 2.7, 3.3, 3.7], abs=0.1)
    assert mean_prediction(priors, ["Drama", "War"], 2010) == pytest.approx(3.2, abs=0.1)
    unknown_year = mean_prediction(priors, ["War"], None)
    assert unknown_year == pytest.approx(2.5, abs=0.05)  # half of the items have each year
    assert mean_prediction(priors, [], 2010) == pytest.approx(3.2, abs=0.05)
    nothing = torch.empty(0, dtype=torch.long), torch.empty(0)
    mean = priors.without_features.posterior(*nothing).x
    torch.testing.assert_close(priors.with_features([], None).posterior(*nothing).x, mean)
    for year, nearest in ((1890, 1990), (1999, 1990), (2001, 2010), (10**30, 2010)):
        assert mean_prediction(priors, ["War"], year) == mean_prediction(priors, ["War"], nearest)


def test_features_reduce_the_variance_of_a_new_item() -> None:
    """The biases have a standard deviation of .54 over all items, and of .05 around those of genre and year."""
    priors, users = ItemPriors(run_with()), torch.arange(N_USERS)
    nothing = torch.empty(0, dtype=torch.long), torch.empty(0)
    without = priors.without_features.posterior(*nothing).deviations(users)
    with_features = priors.with_features(["War"], 1990).posterior(*nothing).deviations(users)
    assert (with_features < 0.4 * without).all()


def test_without_features_the_mean_is_weighted_by_the_numbers_of_ratings() -> None:
    priors = ItemPriors(run_with())
    rows = priors.scorer.user_table().double().numpy()
    counts = np.where(np.arange(N_ITEMS) < 100, 100, 10)
    counts[7] = 0  # it was not trained
    np.testing.assert_allclose(priors.without_features.mean.numpy(), np.average(rows, axis=0, weights=counts))


def test_items_of_one_number_each() -> None:
    """A bias model describes an item by its bias alone."""
    run = run_with()
    network = Bias(N_USERS, N_ITEMS, [1, 5], 3.0)
    network.item_bias.weight.data = run.checkpoint.scorer.item_biases.clone()
    torch.nn.init.zeros_(network.user_bias.weight)
    run.checkpoint.scorer = network.eval().scorer()
    priors = ItemPriors(run)
    predictions = [mean_prediction(priors, [g], y) for g in ("War", "Drama") for y in (1992, 2014)]
    assert predictions == pytest.approx([2.3, 2.7, 3.3, 3.7], abs=0.1)


def test_items_without_features_have_the_prior_without_them() -> None:
    priors = ItemPriors(run_with(genres="", year=pd.array([None] * N_ITEMS, dtype="Int64")))
    assert priors.with_features([], None) is priors.without_features


def test_items_without_years_or_with_too_many_genres() -> None:
    priors = ItemPriors(run_with(year=pd.array([None] * N_ITEMS, dtype="Int64")))
    assert mean_prediction(priors, ["War"], None) == pytest.approx(2.5, abs=0.1)
    with pytest.raises(DataError, match="year=1990: the items of this run have no years"):
        priors.with_features(["War"], 1990)
    many = ItemPriors(run_with(genres=["|".join(f"{i}-{j}" for j in range(6)) for i in range(N_ITEMS)]))
    with pytest.raises(DataError, match="genres: 1,194 categories"):
        many.with_features(["0-1"], None)
