"""OmegaConf resolvers of the files in conf/. Importing this module registers them."""

from omegaconf import OmegaConf

from recsys.paths import expanded
from recsys.runs.start import timestamp

DEFAULT_K = 10


def ranking_k(objective: object) -> int:
    """Return the length of the ranked lists: that of the objective, or 10.

    >>> ranking_k("val/ndcg@20"), ranking_k("val/rmse"), ranking_k(None)
    (20, 10, 10)
    """
    k = str(objective).partition("@")[2]
    return int(k) if k.isascii() and k.isdecimal() and len(k) < 10 else DEFAULT_K


def _sweep_folder(name: str | None, *chosen: str | int | None) -> str:
    """Return the first chosen folder that is not null, or a name made of the time and the sweep's name."""
    for folder in chosen:
        if folder is not None:
            return str(expanded(folder))
    return f"outputs/sweeps/{timestamp()}" + (f"_{name}" if name else "")


OmegaConf.register_new_resolver("ranking_k", ranking_k, replace=True)
# Cached like Hydra's `now`: the folder of a sweep is the same however often it is read.
OmegaConf.register_new_resolver("sweep_folder", _sweep_folder, replace=True, use_cache=True)
