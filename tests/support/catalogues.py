"""Catalogues of small datasets."""

import numpy as np

from recsys.data.dataset import Dataset
from recsys.inference.catalogue import Catalogue


def catalogue_of(dataset: Dataset) -> Catalogue:
    """Return the catalogue of all items of a dataset."""
    counts = np.bincount(dataset.items, minlength=len(dataset.item_ids))
    return Catalogue(dataset.item_ids, dataset.item_table, counts, dataset.scale)
