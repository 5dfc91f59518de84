"""`recsys-recommend`: recommendations, predictions and similar items from a finished run."""

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig, OmegaConf

from recsys.atomic import atomic_write
from recsys.cli.app import run_command
from recsys.cli.values import require_booleans, require_groups
from recsys.config.hardware import device_for
from recsys.errors import ConfigError, DataError, UnknownIdError, listed, shortened
from recsys.paths import expanded
from recsys.tables import check_format, print_rows
from recsys.terminal import print_line

if TYPE_CHECKING:
    import pandas as pd

    from recsys.inference.recommender import Recommender

# Columns of a printed table; further columns of the items are printed if where= names them.
SHOWN = {
    *("user", "to", "item", "title", "year", "genres"),
    *("score", "prediction", "similarity", "deviation", "ratings", "interactions"),
}
WRITERS = {".csv": "to_csv", ".parquet": "to_parquet"}  # from the suffix of output= to a method of DataFrame


def main() -> None:
    """Run `recsys-recommend`."""
    run_command("recommend", _task, first_key="user")


def recommend(cfg: DictConfig) -> tuple["pd.DataFrame", str]:
    """Return the table that a configuration (conf/recommend.yaml) asks for, and its title.

    Raises:
        UserError: a value is not allowed, the run cannot be loaded, or a file cannot be read.
    """
    _check(cfg)
    from recsys.inference.recommender import Recommender

    recommender = Recommender.load(str(cfg.run), cfg.trust is True, device_for(cfg.hardware))
    options = {"k": cfg.k, "filter_seen": cfg.filter_seen, "min_ratings": cfg.min_ratings}
    options |= {"genres": _genres(cfg.genres), "years": _plain(cfg.years)}
    options["where"] = None if cfg.where is None else str(cfg.where)
    item = None if cfg.item is None else str(cfg.item)
    if cfg.users is not None:
        users = recommender.user_ids.ids if cfg.users == "all" else _read_users(Path(cfg.users), recommender)
        return recommender.recommend(users, **options, candidates=cfg.candidates), f"{len(users)} users"
    if cfg.ratings is not None:
        return _recommend_to_new_user(recommender, Path(str(cfg.ratings)), item, options)
    if cfg.user is None:
        assert item is not None
        title = recommender.catalogue.items["title"][recommender.catalogue.to_index(item)]
        filters = {key: options[key] for key in ("genres", "years", "where")}
        return recommender.similar_items(item, cfg.k, **filters), f"similar to {title}"
    user = recommender.user_id(cfg.user)
    if item is not None:
        indices = recommender.catalogue.to_indices([item])
        return recommender.catalogue.table(indices, recommender.predict([user], [item])), f"user {user}"
    title = f"user {user}, {recommender.run.folder}"
    if not recommender.scorer.predicts_ratings:
        title += "; predictions are scores that order this user's items, not ratings"
    elif recommender.scorer.ranker() is not recommender.scorer:
        title += "; ordered by score: how likely this user is to choose an item and to like it"
    return recommender.recommend(user, **options), title


def _recommend_to_new_user(
    recommender: "Recommender", file: Path, item: str | None, options: dict[str, Any]
) -> tuple["pd.DataFrame", str]:
    """Return the table for a ratings file: recommendations, or the prediction for one item."""
    user = recommender.fold_in_file(file)
    n, rows = len(user.seen), recommender.catalogue.count_name
    if n == 0 and item is None:
        title = f"{file}: no {rows}; the most popular items, with predictions for the mean user"
        return user.popular(options["k"], options["genres"], options["years"], options["where"]), title
    title = f"{file}: {n} {rows if n != 1 else rows[:-1]}"
    if item is None:
        items = user.recommend(**options)
    else:
        indices = recommender.catalogue.to_indices([item])
        items = recommender.catalogue.table(indices, user.predict([item]))
    if user.posterior is None:
        return items, f"{title}; predictions are scores that order this user's items, not ratings"
    title += f" explain{'s' * (n == 1)} {100 * user.explained:.0f} % of this user's taste"
    errors = user.uncertainty(items["item"].to_numpy())
    return items, f"{title}; uncertainty ±{errors.mean():.2f}" if len(errors) else title


def _check(cfg: DictConfig) -> None:
    """Check all values before anything is loaded.

    Raises:
        ConfigError: a value is not allowed, or keys cannot be combined.
    """
    check_format(cfg.format)
    given = [key for key in ("user", "users", "ratings") if cfg[key] is not None]
    if len(given) > 1:
        raise ConfigError(f"{'= and '.join(given)}=: cannot be combined; give one of them")
    if not given and cfg.item is None:
        raise ConfigError("give user=, users=, ratings= or item=; recsys-recommend --help has examples")
    if cfg.users is not None and (cfg.item is not None or cfg.output is None):
        raise ConfigError("users=: needs output=<file.csv or .parquet>, and cannot be combined with item=")
    for key in ("users", "ratings", "user", "item", "where"):
        if OmegaConf.is_config(cfg[key]):
            raise ConfigError(f"{key}={cfg[key]}: must be a single value")
    for key, lowest in (("k", 1), ("min_ratings", 0)):
        if isinstance(cfg[key], bool) or not isinstance(cfg[key], int) or cfg[key] < lowest:
            raise ConfigError(f"{key}={cfg[key]}: must be a whole number of at least {lowest}")
    require_booleans(cfg, "filter_seen", "trust")
    require_groups(cfg, "hardware")
    if OmegaConf.is_dict(cfg.genres):
        raise ConfigError(f"genres={cfg.genres}: must be a genre or a list of genres: genres=[Drama,War]")
    if cfg.candidates not in ("fp32", "bf16", "int8") or (cfg.candidates != "fp32" and cfg.users is None):
        raise ConfigError(f"candidates={cfg.candidates}: must be fp32, or with users= also bf16 or int8")
    years = cfg.years if OmegaConf.is_list(cfg.years) else [] if cfg.years is None else [cfg.years]
    if cfg.years is not None and not (len(years) in (1, 2) and all(type(year) is int for year in years)):
        raise ConfigError(
            f"years={cfg.years}: must be a year, or the first and the last year: years=[1980,1990]"
        )
    if cfg.output is not None and Path(str(cfg.output)).suffix not in WRITERS:
        raise ConfigError(f"output={cfg.output}: must end with {' or '.join(WRITERS)}")


def _read_users(file: Path, recommender: "Recommender") -> list[Any]:
    """Return the users of a CSV file, from the column `user` or that with the name of the data's user column.

    Raises:
        DataError: the file cannot be read, has no such column or no users, or a user is unknown.
    """
    from recsys.inference.csv_rows import csv_rows

    rows = csv_rows(file, "users")
    line, header = next(rows, (1, []))
    names = dict.fromkeys((recommender.run.data.id_columns[0], "user"))
    column = next((name for name in names if name in header), None)
    if column is None:
        wanted = " or ".join(repr(name) for name in names)
        raise DataError(f"{file} line {line}: no column {wanted}; the file has {listed(header) or 'none'}")
    users = []
    for line, fields in rows:
        if len(fields) != len(header):
            raise DataError(
                f"{file} line {line}: {len(header)} fields expected, {len(fields)} found "
                f"({shortened(','.join(fields))})"
            )
        try:
            users.append(recommender.user_id(fields[header.index(column)]))
        except UnknownIdError as error:
            raise DataError(f"{file} line {line}: {error}") from None
    if not users:
        raise DataError(f"{file}: no users below the header")
    return users


def _genres(value: Any) -> list[str] | None:
    """Return the genres as text; Hydra reads some, such as 5 or null in a list, as other types."""
    if value is None:
        return None
    return [str(genre) for genre in (value if OmegaConf.is_list(value) else [value])]


def _plain(value: Any) -> Any:
    return OmegaConf.to_container(value) if OmegaConf.is_config(value) else value


def _task(cfg: DictConfig) -> None:
    items, title = recommend(cfg)
    if cfg.output is not None:
        file = expanded(cfg.output)
        _write(items, file)
        print_line(f"{title}: {len(items)} rows in {file}", is_error=True)
        return
    rows = [_row(row, cfg.format == "table") for row in items.astype(object).to_dict("records")]
    if cfg.format != "table":
        print_line(title, is_error=True)  # stdout is for the program that reads it
    elif not rows:
        print_line(f"{title}: no items left")
        return
    if cfg.format == "table":
        rows = _without_empty_columns(rows)
        rows = [{key: row[key] for key in row if key in SHOWN or key in str(cfg.where)} for row in rows]
    print_rows(rows, cfg.format, title)


def _write(items: "pd.DataFrame", file: Path) -> None:
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(file) as temporary:
            getattr(items, WRITERS[file.suffix])(temporary, index=False)
    except OSError as error:
        raise ConfigError(f"output={file}: {error.strerror or error}") from None


def _without_empty_columns(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Leave out what is known about no item; an item without a title is called "item <id>"."""
    from recsys.data.dataset import default_title

    empty = {
        key
        for key in rows[0]
        if all(
            row[key] in (None, "") or (key == "title" and row[key] == default_title(row["item"]))
            for row in rows
        )
    }
    return [{key: value for key, value in row.items() if key not in empty} for row in rows]


def _row(item: Mapping[Any, Any], is_table: bool) -> dict[str, Any]:
    """Return plain values; in a table, numbers are rounded, and ids and years have no thousands separator."""
    row = {key: None if value != value or str(value) == "<NA>" else value for key, value in item.items()}
    for key, value in row.items():
        if isinstance(value, datetime):  # of the table of items
            row[key] = value.isoformat().removesuffix("T00:00:00")
        elif isinstance(value, float):
            row[key] = f"{value:.2f}" if is_table else round(value, 4)
        elif is_table and key in ("item", "year"):
            row[key] = "" if value is None else str(value)
    return row


if __name__ == "__main__":
    main()
