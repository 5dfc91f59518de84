"""The expected keys of result.json, failed.json and sweep.json: files are checked when they are read.

A file may have been written by another version or another program, cut off, or edited. Each class lists the keys that
its readers need; further keys are allowed.
"""

from pathlib import Path
from typing import Annotated, Any, Literal, Self

from annotated_types import Ge, Gt, Le, Len, Lt
from pydantic import BaseModel, ConfigDict, StringConstraints, ValidationError, model_validator

from recsys.errors import RunError
from recsys.runs.folder import FORMAT, parse_json, read_bytes

# A single line, because the text is printed: a line break could fake another line of the output.
Text = Annotated[str, StringConstraints(max_length=10_000, pattern=r"^[^\r\n]*$")]
MetricName = Annotated[str, StringConstraints(pattern=r"^val/[\w@.+-]{1,100}$")]
Metric = Annotated[float, Ge(-1e100), Le(1e100)]  # so that sums and squares are finite
Overrides = Annotated[list[Text], Len(max_length=500)]  # each is a column of the leaderboard
Count = Annotated[int, Ge(0), Lt(2**63)]


class Record(BaseModel):
    """The base class: types are not converted, and numbers are finite."""

    model_config = ConfigDict(strict=True, allow_inf_nan=False)


class Objective(Record):
    """The metric that selected the weights, and its value."""

    name: MetricName
    mode: Literal["min", "max"]
    value: Metric


class Data(Record):
    """The data and the numbers of rows of its split."""

    name: Text
    sha256: Text
    split: Text
    train: Annotated[Count, Gt(0)]
    val: Count
    test: Count

    @model_validator(mode="before")
    @classmethod
    def _is_of_this_format(cls, data: Any) -> Any:
        if isinstance(data, dict) and "movies" in data:
            raise ValueError(
                f"written by version 0.1.0 in format 1, but this version reads format {FORMAT}; train again"
            )
        return data


class Model(Record):
    """The network."""

    name: Text
    parameters: Count


class Time(Record):
    """The training time of a run."""

    epochs: Count
    seconds: Annotated[float, Ge(0), Le(1e15)]


class WithObjective(Record):
    """The keys of result.json that a sweeper reads."""

    objective: Objective


class Completed(WithObjective):
    """The keys of result.json that the leaderboard reads."""

    status: Literal["completed"]
    seed: int
    overrides: Overrides
    metrics: dict[Text, Metric]
    added_metrics: Annotated[list[Text], Len(max_length=500)] = []
    data: Data
    model: Model
    time: Time

    @model_validator(mode="after")
    def _has_measured_its_objective(self) -> Self:
        for name in (self.objective.name, self.objective.name.replace("val/", "test/")):
            if name not in self.metrics:
                raise ValueError(f"metrics: {name} is missing, but the objective is {self.objective.name}")
        return self


class LoadedData(Data):
    """`Data` with the number of ratings."""

    ratings: Count


class LoadedObjective(Objective):
    """`Objective` with the epoch of the best weights."""

    epoch: Count


class Loaded(Completed):
    """The keys of result.json that commands read when they load a run."""

    objective: LoadedObjective
    baselines: dict[Text, dict[Text, Metric]]
    data: LoadedData


class Failed(Record):
    """The keys of failed.json that the leaderboard reads."""

    status: Literal["failed", "pruned"]
    error: Text
    overrides: Overrides


class Sweep(Record):
    """The keys of sweep.json that jobs read."""

    swept: list[Text]
    pruner: dict[str, Any] | None = None


def read_record(path: Path, kind: type[Record]) -> dict[str, Any]:
    """Return the content of a JSON file that has the keys and types of `kind`.

    Raises:
        RunError: it cannot be read, or a key is missing or has a wrong value.
    """
    data = read_bytes(path)
    content = parse_json(path, data)
    try:
        kind.model_validate_json(data)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"]))[:100]
        reason = first["msg"].removeprefix("Value error, ")
        raise RunError(f"{path}: not a valid record ({where}{': ' if where else ''}{reason})") from None
    return content
