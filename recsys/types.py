"""Types with ranges, for the annotations of constructor arguments.

`recsys.config.validate` reads the annotations and checks the configuration against them.
"""

from typing import Annotated

from annotated_types import Ge, Gt, Lt

PositiveInt = Annotated[int, Gt(0)]
NonNegativeInt = Annotated[int, Ge(0)]
PositiveFloat = Annotated[float, Gt(0)]
NonNegativeFloat = Annotated[float, Ge(0)]
Fraction = Annotated[float, Gt(0), Lt(1)]
DropoutRate = Annotated[float, Ge(0), Lt(1)]
