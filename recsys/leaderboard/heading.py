"""The headline of a leaderboard's page, and what its runs have in common: data, split, model."""

from collections.abc import Sequence

from recsys.leaderboard.board import MISSING, Board
from recsys.leaderboard.runs import RunRecord
from recsys.leaderboard.values import Axis

MAX_VALUES = 8  # of a varied key; of more values, the first and the last are shown


def headline(board: Board) -> str:
    """Return what varies, the model and the data, for example "embedding_dim × hidden: embedding-net on ml-100k"."""
    models, data = _distinct(board, "model", "name"), _distinct(board, "data", "name")
    where = f"on {' and '.join(data)}"
    varied = " \N{MULTIPLICATION SIGN} ".join([board.short[key] for key in board.keys] or board.repeat_keys)
    if len(models) > 1:
        return f"{varied or f'{len(models)} models'} {where}"
    return f"{varied}: {models[0]} {where}" if varied else f"{models[0]} {where}"


def facts(board: Board, unfinished: Sequence[RunRecord]) -> dict[str, str]:
    """Return {name: text} of what the runs have in common, what varies, and how many runs there are."""
    rows = {
        subset: {run.content["data"][subset] for run in board.runs} for subset in ("train", "val", "test")
    }
    about = "" if all(len(own) == 1 for own in rows.values()) else "about "
    train, val, test = (f"{max(own):,}" for own in rows.values())
    splits = [
        split.rsplit(" ", 1)[0] for split in _distinct(board, "data", "split")
    ]  # without the fingerprint
    pruned = sum(run.pruned for run in unfinished)
    counts = {"completed": len(board.runs), "failed": len(unfinished) - pruned, "pruned": pruned}
    names = " and ".join(_distinct(board, "data", "name"))
    return {
        "data": f"{names}, {about}{train} training, {val} validation and {test} test rows",
        "split": splits[0] if len(splits) == 1 else f"{splits[0]} and {len(splits) - 1} more",
        "model": ", ".join(_distinct(board, "model", "name")),
        **{key: _values(board.axis(key)) for key in board.keys if key != "model"},
        **{
            key: _values(Axis.of(run.choices.get(key, MISSING) for run in board.runs))
            for key in board.repeat_keys
        },
        "runs": ", ".join(f"{count:,} {status}" for status, count in counts.items() if count),
        "ranked by": f"{board.metric}, {board.direction}",
    }


def _values(axis: Axis) -> str:
    values = list(axis.positions)
    return (
        ", ".join(values)
        if len(values) <= MAX_VALUES
        else f"{len(values)} values, {values[0]} to {values[-1]}"
    )


def _distinct(board: Board, part: str, key: str) -> list[str]:
    """Return the different values of a key of result.json, in the order of the runs."""
    return list(dict.fromkeys(run.content[part][key] for run in board.runs))
