"""The ranges that constructor arguments are held to.

They stand in the signature of whatever they limit, and `recsys.config.validate` reads them from there.
"""

from typing import Annotated

from annotated_types import Ge, Gt, Lt

PositiveInt = Annotated[int, Gt(0)]
NonNegativeInt = Annotated[int, Ge(0)]
PositiveFloat = Annotated[float, Gt(0)]
NonNegativeFloat = Annotated[float, Ge(0)]
Fraction = Annotated[float, Gt(0), Lt(1)]
DropoutRate = Annotated[float, Ge(0), Lt(1)]
