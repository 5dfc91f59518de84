"""The row of a run in TensorBoard's HParams table."""

from collections.abc import Sequence
from typing import Any

# Outside a sweep, the HParams table has a column for each key that starts with one of these.
SHOWN = (
    "seed",
    "batch_size",
    "data.",
    "split",
    "model",
    "loss",
    "optimizer",
    "schedule",
    "hardware.precision",
)
# Facts about the data and technical switches, which are not varied.
HIDDEN = {"address", "md5", "members", "package", "reader", "folder", "mirror", "verify", "scale"}
HIDDEN |= {"on_bad_rows", "_partial_", "fused"}


def hparams(config: dict[str, Any], shown: Sequence[str] = SHOWN) -> dict[str, Any]:
    """Return the shown part of a configuration as a flat dict: {"model.embedding_dim": 50, ...}.

    Args:
        config: plain values.
        shown: beginnings of keys.
    """
    flat: dict[str, Any] = {}

    def add(key: str, value: Any) -> None:
        if isinstance(value, dict):
            for name, child in value.items():
                if name == "_target_":
                    flat[key] = child.rsplit(".", 1)[-1]
                elif name not in HIDDEN:
                    add(f"{key}.{name}" if key else name, child)
        else:
            flat[key] = str(value) if isinstance(value, list) or value is None else value

    add("", config)
    return {key: value for key, value in flat.items() if key.startswith(tuple(shown))}
