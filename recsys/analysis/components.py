"""Principal components of item vectors and their correlations with item properties."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.decomposition import PCA
from sklearn.feature_selection import f_regression, r_regression

NORMAL_95 = 1.959964  # half the width of a 95 % interval, in standard errors
SIGNIFICANT = 0.05  # largest p-value, exclusive, that counts as significant


@dataclass(frozen=True, eq=False)
class Components:
    """Principal components of the item vectors.

    Attributes:
        scores: one row per item, indexed by item index; columns 1, 2, ... in order of descending variance.
        variance_ratio: share of the total variance of each component, (components,).
        dim: number of dimensions of the vectors of one network.
        networks: number of averaged networks, whose vectors are side by side.
    """

    scores: pd.DataFrame
    variance_ratio: NDArray[np.float64]
    dim: int
    networks: int = 1


def principal_components(
    vectors: NDArray, reference: pd.Series, components: int, networks: int = 1
) -> Components:
    """Compute the PCA of the vectors of the given items.

    The sign of a principal component is arbitrary. Signs are chosen to make the scores correlate positively
    with a reference, such as the mean rating.

    Args:
        vectors: vectors of all items by item index, (n_items, networks * d).
        reference: a property of the items, indexed by item index; the index selects the vectors.
        components: number of components; at most the number of dimensions and the number of items.
        networks: number of averaged networks.
    """
    chosen = vectors[reference.index]
    pca = PCA(min(components, *chosen.shape), svd_solver="full").fit(chosen)
    scores = pca.transform(chosen)
    centred = (reference - reference.mean()).to_numpy()
    scores *= np.where(centred @ scores < 0, -1, 1)
    columns = range(1, scores.shape[1] + 1)
    return Components(
        pd.DataFrame(scores, reference.index, columns),
        pca.explained_variance_ratio_,
        vectors.shape[1] // networks,
        networks,
    )


def correlate(scores: pd.DataFrame, properties: pd.DataFrame) -> pd.DataFrame:
    """Compute the Pearson correlation of each component with each property.

    Items for which a property is unknown are left out. For a genre (0 or 1), this is the point-biserial
    correlation. The confidence interval is Fisher's: tanh(artanh r +- 1.96 / sqrt(n - 3)). The p-value is
    that of the t-test of r = 0, adjusted for all tests in the table with Holm's procedure (1979).

    If good items are often dramas, a component of good items correlates with Drama as well. The partial
    correlation controls for this: (r_xy - r_xz r_yz) / sqrt((1 - r_xz^2) (1 - r_yz^2)). The property z that it
    controls for is the first one.

    Args:
        scores: one row per item, one column per component.
        properties: one row per item, one column per property; NaN where unknown.

    Returns:
        One row per component and property, ordered by component, then as in `properties`: component,
        property, items (number of items), r, low and high (95 % interval), p, partial (NaN for the first
        property itself). Constant properties and properties known for fewer than four items are left out.
    """
    tables, control = [], properties.columns[0]
    for name, values in properties.items():
        known = values.notna()
        x, y = scores[known].to_numpy(), values[known].to_numpy()
        if len(y) < 4 or np.ptp(y) == 0:
            continue
        r = r_regression(x, y)
        half_width = NORMAL_95 / np.sqrt(len(y) - 3)
        fisher = np.arctanh(r.clip(-1 + 1e-15, 1 - 1e-15))
        z = properties.loc[known, control].to_numpy()
        partial = r if np.ptp(z) == 0 else np.nan if name == control else _partial(r, x, y, z)
        columns = {
            "component": scores.columns,
            "property": name,
            "items": len(y),
            "r": r,
            "low": np.tanh(fisher - half_width),
            "high": np.tanh(fisher + half_width),
            "p": f_regression(x, y)[1],
            "partial": partial,
        }
        tables.append(pd.DataFrame(columns))
    if not tables:
        return pd.DataFrame(columns=["component", "property", "items", "r", "low", "high", "p", "partial"])
    table = pd.concat(tables).sort_values("component", kind="stable", ignore_index=True)
    return table.assign(p=holm(table["p"].to_numpy()))


def _partial(r_xy: NDArray, x: NDArray, y: NDArray, z: NDArray) -> NDArray[np.float64]:
    r_xz, r_yz = r_regression(x, z), r_regression(y[:, None], z)[0]
    unexplained = (1 - r_xz**2) * (1 - r_yz**2)
    return (r_xy - r_xz * r_yz) / np.sqrt(np.where(unexplained > 1e-12, unexplained, np.nan))


def holm(p: NDArray) -> NDArray[np.float64]:
    """Adjust p-values for multiple tests with Holm's step-down procedure.

    The k-th smallest of m p-values is multiplied by m - k + 1. The results are made monotone and clipped
    to 1.
    """
    order = np.argsort(p)
    ascending = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1)).clip(max=1)
    adjusted = np.empty(len(p))
    adjusted[order] = ascending
    return adjusted


def strongest(correlations: pd.DataFrame, component: int, n: int = 3) -> pd.DataFrame:
    """Return up to `n` significant correlations of a component, in descending order of |r|."""
    is_shown = (correlations["component"] == component) & (correlations["p"] < SIGNIFICANT)
    return correlations[is_shown].sort_values("r", key=abs, ascending=False, kind="stable")[:n]


def adjusted_r2(scores: pd.DataFrame, properties: pd.DataFrame) -> NDArray[np.float64]:
    """Return the share of each component's variance that all properties explain together, (components,).

    This is the adjusted R^2 of a least-squares fit over the items without unknown properties; NaN where
    there are too few of them.
    """
    known = properties.notna().all(axis=1)
    x, y = properties[known].to_numpy(), scores[known].to_numpy()
    design = np.column_stack([np.ones(len(x)), x])
    rank = np.linalg.matrix_rank(design)
    if len(y) <= rank + 1:
        return np.full(y.shape[1], np.nan)
    residuals = y - design @ np.linalg.lstsq(design, y, rcond=None)[0]
    unexplained = (residuals**2).sum(0) / (len(y) - rank) / y.var(0, ddof=1)
    return 1 - unexplained
