"""The store of MLflow's runs: its address, and the command that shows it."""

import os
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from urllib.parse import urlsplit

DEFAULT_STORE = Path(
    "outputs", "mlflow.db"
)  # one file for all runs of a project, so that one page shows them


def ui_command() -> str:
    """Return the command that starts MLflow's pages, which mlflow-skinny lacks."""
    installed = {name for name in ("mlflow", "mlflow-skinny") if version_of(name)}
    if installed == {"mlflow-skinny"}:  # the same version, because another may have other tables
        return f"pipx run --spec mlflow=={version_of('mlflow-skinny')} mlflow ui"
    return "mlflow ui"


def version_of(package: str) -> str | None:
    """Return the version of an installed package; None if it is not installed."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def store_of_user() -> str:
    """Return the address of the store that the environment names."""
    return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{DEFAULT_STORE.absolute()}"


def sqlite_file(uri: str) -> Path | None:
    """Return the absolute path of a SQLite database; None for another store."""
    return Path(uri.removeprefix("sqlite:///")).absolute() if uri.startswith("sqlite:///") else None


def has_password(uri: str) -> bool:
    """Return whether an address contains a password."""
    return bool(urlsplit(uri).password)
