"""Types of constructor arguments and configuration keys: ranges and names.

`recsys.config.values` reads the annotations and checks the configuration against them.
"""

from typing import Annotated, Literal

from annotated_types import Ge, Gt, Le, Lt

PositiveInt = Annotated[int, Gt(0), Le(2**31 - 1)]  # indices of users and items are int32
NonNegativeInt = Annotated[int, Ge(0), Le(2**63 - 1)]
Epochs = Annotated[int, Gt(0), Le(1_000_000)]  # schedules list the epochs of a run
PositiveFloat = Annotated[float, Gt(0)]
NonNegativeFloat = Annotated[float, Ge(0)]
Jobs = Annotated[int, Gt(0), Le(1000)]  # processes at the same time on one machine
Seconds = Annotated[float, Gt(0), Le(1e9)]  # at most 31 years
Fraction = Annotated[float, Gt(0), Lt(1)]
DropoutRate = Annotated[float, Ge(0), Lt(1)]
Accelerator = Literal["auto", "cpu", "gpu", "mps"]
Mode = Literal["min", "max"]  # whether a lower or a higher value of a metric is better
