"""The types of keys of conf/train.yaml that are not arguments of a class, whose signature has the types of its own."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from recsys.config.constraints import Config
from recsys.types import (
    Accelerator,
    Epochs,
    Mode,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
)


class Optimizer(BaseModel):
    """What torch's own signatures leave open."""

    lr: PositiveFloat
    weight_decay: NonNegativeFloat = 0.0


class Hardware(BaseModel):
    """How training runs; all but the last three are arguments of Lightning's Trainer."""

    model_config = ConfigDict(extra="forbid")
    accelerator: Accelerator
    devices: PositiveInt
    num_nodes: PositiveInt
    strategy: Literal["auto", "ddp"]
    precision: Literal["32-true", "bf16-mixed", "16-mixed"]
    tf32: bool
    cuda_graph: bool
    compile: bool


class Penalty(BaseModel):
    """L2 penalty; see `recsys.training.regularization`."""

    model_config = ConfigDict(extra="forbid")
    vectors: NonNegativeFloat
    biases: NonNegativeFloat


class Ranking(BaseModel):
    """How rankings are measured; see `recsys.evaluation.ranking_metrics`."""

    model_config = ConfigDict(extra="forbid")
    k: NonNegativeInt
    threshold: float | None


class Sweep(BaseModel):
    """Options of a sweep as a whole."""

    model_config = ConfigDict(extra="forbid")
    resume: str | None
    average: bool


class Target(BaseModel):
    """A node that names a class; its arguments are checked against the class."""

    model_config = ConfigDict(extra="allow")
    target: str = Field(alias="_target_")


class TrainConfig(BaseModel):
    """The top-level keys of conf/train.yaml."""

    model_config = ConfigDict(extra="forbid")
    seed: NonNegativeInt
    batch_size: PositiveInt
    max_epochs: Epochs
    patience: PositiveInt
    snapshots: PositiveInt
    refit: bool
    l2: Penalty
    gradient_clip: NonNegativeFloat
    output_dir: str | int | None
    run: str | int | None
    resume: bool
    trust: bool
    ranking: Ranking
    metrics: dict[str, Target]
    objective: str | None
    objective_mode: Mode | None
    sweep: Sweep
    data: Config
    split: Config
    model: Config
    loss: Config
    optimizer: Optimizer
    schedule: Config
    hardware: Hardware
    trainer: Config
    callbacks: dict[str, Target]
    averaging: Config
    logger: dict[str, Config] = {}  # by name; logger=[] removes the key
