"""Items for people, from a finished run: `recsys-recommend`."""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig, OmegaConf

from recsys.atomic import atomic_write
from recsys.cli.app import quote_for_hydra, run_command
from recsys.errors import ConfigError
from recsys.tables import check_format, print_rows

if TYPE_CHECKING:
    import pandas as pd

    from recsys.inference.recommender import Recommender

WRITERS = {".csv": "to_csv", ".parquet": "to_parquet"}


def main() -> None:
    """`recsys-recommend`."""
    sys.argv[1:] = [quote_for_hydra(word) for word in sys.argv[1:]]
    run_command("recommend", _task)


def recommend(cfg: DictConfig) -> tuple["pd.DataFrame", str]:
    """Answer what conf/recommend.yaml asks.

    Returns:
        The items, and a line about them.

    Raises:
        UserError: the question, the run or a file cannot be right.
    """
    _check(cfg)
    from recsys.inference.recommender import Recommender

    recommender = Recommender.load(cfg.run)
    choices = {"k": cfg.k, "filter_seen": cfg.filter_seen, "min_ratings": cfg.min_ratings}
    choices |= {"genres": _plain(cfg.genres), "years": _plain(cfg.years)}
    item = None if cfg.item is None else str(cfg.item)
    if cfg.users is not None:
        users = recommender.user_ids.ids if cfg.users == "all" else _read_users(Path(cfg.users), recommender)
        return recommender.recommend(users, **choices, candidates=cfg.candidates), f"{len(users)} users"
    if cfg.ratings is not None:
        return _for_newcomer(recommender, Path(str(cfg.ratings)), item, choices)
    if cfg.user is None:
        assert item is not None
        (row,) = recommender.catalogue.rows([item])
        return recommender.similar_items(
            item, cfg.k
        ), f"similar to {recommender.catalogue.titles.titles[row]}"
    user = recommender.user_id(cfg.user)
    if item is None:
        told = f"user {user}, {recommender.run.folder}"
        if not recommender.network.rates:
            told += "; a prediction is a score that orders this user's items, and no rating"
        return recommender.recommend(user, **choices), told
    rows = recommender.catalogue.rows([item])
    return recommender.catalogue.table(rows, recommender.predict([user], [item])), f"user {user}"


def _for_newcomer(
    recommender: "Recommender", file: Path, item: str | None, choices: dict[str, Any]
) -> tuple["pd.DataFrame", str]:
    person = recommender.fold_in_file(file)
    n = len(person.seen)
    if n == 0 and item is None:
        told = f"{file} holds no ratings: the most rated items, as the mean user would rate them"
        return person.popular(choices["k"], choices["genres"], choices["years"]), told
    told = f"{file}: {n} rating{'s' * (n != 1)}, which tell {person.known:.0%} of what sets a person apart"
    if item is None:
        items = person.recommend(**choices)
        spread = person.uncertainty(items["item"].to_numpy())
        about = f"these predictions are uncertain by about {spread.mean():.2f}" if len(spread) else ""
        return items, "; ".join(filter(None, (told, about)))
    rows = recommender.catalogue.rows([item])
    told += f"; uncertain by {person.uncertainty(item):.2f}"
    return recommender.catalogue.table(rows, person.predict([item])), told


def _check(cfg: DictConfig) -> None:
    """Refuse what cannot be asked, before anything is loaded."""
    check_format(cfg.format)
    asked = [key for key in ("user", "users", "ratings") if cfg[key] is not None]
    if len(asked) > 1:
        raise ConfigError(f"{'= and '.join(asked)}=: one of them at a time")
    if not asked and cfg.item is None:
        raise ConfigError("give user=, users=, ratings= or item=; recsys-recommend --help has examples")
    if cfg.users is not None and (cfg.item is not None or cfg.output is None):
        raise ConfigError("users= needs output=<file.csv or .parquet>, and takes no item=")
    for key, least in (("k", 1), ("min_ratings", 0)):
        if isinstance(cfg[key], bool) or not isinstance(cfg[key], int) or cfg[key] < least:
            raise ConfigError(f"{key}={cfg[key]}: a whole number from {least} expected")
    if not isinstance(cfg.filter_seen, bool):
        raise ConfigError(f"filter_seen={cfg.filter_seen}: true or false expected")
    if cfg.candidates not in ("fp32", "bf16", "int8") or (cfg.candidates != "fp32" and cfg.users is None):
        raise ConfigError(f"candidates={cfg.candidates}: fp32, or with users= also bf16 or int8")
    years = cfg.years if OmegaConf.is_list(cfg.years) else [] if cfg.years is None else [cfg.years]
    if cfg.years is not None and not (len(years) in (1, 2) and all(type(year) is int for year in years)):
        raise ConfigError(f"years={cfg.years}: a year, or the first and the last one: years=[1980,1990]")
    if cfg.output is not None and Path(str(cfg.output)).suffix not in WRITERS:
        raise ConfigError(f"output={cfg.output}: a file that ends with {' or '.join(WRITERS)} expected")


def _read_users(file: Path, recommender: "Recommender") -> list[Any]:
    """The column user of a CSV file."""
    import pandas as pd

    from recsys.errors import DataError, UnknownIdError

    try:
        table = pd.read_csv(file.expanduser(), dtype=str, skipinitialspace=True)
    except (OSError, ValueError) as problem:
        raise DataError(f"users={file}: {getattr(problem, 'strerror', None) or problem}") from None
    if "user" not in table:
        raise DataError(f"{file} line 1: no column 'user'; the file has {', '.join(map(repr, table))}")
    found = []
    for line, user in enumerate(table["user"], 2):
        try:
            found.append(recommender.user_id(user))
        except UnknownIdError as problem:
            raise DataError(f"{file} line {line}: {problem}") from None
    if not found:
        raise DataError(f"{file}: holds no users")
    return found


def _plain(value: Any) -> Any:
    return OmegaConf.to_container(value) if OmegaConf.is_config(value) else value


def _task(cfg: DictConfig) -> None:
    items, told = recommend(cfg)
    if cfg.output is not None:
        file = Path(str(cfg.output)).expanduser()
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            with atomic_write(file) as temporary:
                getattr(items, WRITERS[file.suffix])(temporary, index=False)
        except OSError as problem:
            raise ConfigError(f"output={cfg.output}: {problem.strerror or problem}") from None
        print(f"{told}: {len(items)} lines in {file}", file=sys.stderr)
        return
    rows = [_row(row, cfg.format == "table") for row in items.astype(object).to_dict("records")]
    if cfg.format != "table":
        print(told, file=sys.stderr)
    elif not rows:
        print(f"{told}: no item is left")
        return
    print_rows(rows, cfg.format, told)


def _row(item: Mapping[Any, Any], for_people: bool) -> dict[str, Any]:
    """Plain values; for people, ids and years are names and no quantities."""
    row = {key: None if value != value or str(value) == "<NA>" else value for key, value in item.items()}
    for key, value in row.items():
        if isinstance(value, float):
            row[key] = f"{value:.2f}" if for_people else round(value, 4)
        elif for_people and key in ("item", "year"):
            row[key] = "" if value is None else str(value)
    return row


if __name__ == "__main__":
    main()
