"""Values that are sound by themselves and cannot work together, or not on this machine: one rule each.

`recsys.config.validate` asks every rule once all values have passed by themselves. A rule takes the configuration as
plain values and yields a line per error: the key, its value, and what would do.
"""

from collections.abc import Callable, Iterator
from typing import Any

from hydra.utils import instantiate

from recsys.evaluation.objective import ranks
from recsys.runs.processes import started_by

Group = dict[str, Any]


def _on_gpu(hardware: Group) -> bool:
    import torch

    accelerator = hardware["accelerator"]
    return accelerator == "gpu" or (accelerator == "auto" and torch.cuda.is_available())


def _hardware_is_there(cfg: Group) -> Iterator[str]:
    import torch

    accelerator, devices = cfg["hardware"]["accelerator"], cfg["hardware"]["devices"]
    on_gpu = _on_gpu(cfg["hardware"])
    if accelerator == "gpu" and not torch.cuda.is_available():
        yield "hardware.accelerator=gpu: torch sees no GPU here; hardware=auto takes what there is"
    elif on_gpu and devices > (there := torch.cuda.device_count()):
        yield f"hardware.devices={devices}: torch sees {there} GPUs here; hardware.accelerator=cpu needs none"
    if accelerator == "mps" and not torch.backends.mps.is_available():
        yield "hardware.accelerator=mps: torch sees no Apple GPU here; hardware=auto takes what there is"
    if cfg["hardware"]["precision"] == "16-mixed" and not on_gpu:
        yield "hardware.precision=16-mixed: only a GPU has it; bf16-mixed runs everywhere"
    if devices > 1 and cfg["hardware"]["strategy"] == "auto":
        yield f"hardware.devices={devices}: several devices need hardware.strategy=ddp (hardware=ddp)"


def _optimizer_can_be_built(cfg: Group) -> Iterator[str]:
    import torch

    build = instantiate(cfg["optimizer"], _partial_=True, _convert_="all")
    try:
        build([torch.nn.Parameter(torch.zeros(1))])
    except (ValueError, TypeError, RuntimeError) as problem:
        yield f"optimizer: {str(problem).splitlines()[0]}"


def _rows_alone_have_gradients(cfg: Group) -> Iterator[str]:
    from recsys.training.sparse_adam import is_sparse_adam

    if not is_sparse_adam(cfg["optimizer"]["_target_"]):
        return
    if cfg["gradient_clip"] > 0:
        yield (
            f"gradient_clip={cfg['gradient_clip']} with optimizer=sparse-adam: the gradients of single rows "
            "have no common norm; gradient_clip=0, or optimizer=adam"
        )
    if cfg["hardware"]["strategy"] == "ddp" and _on_gpu(cfg["hardware"]):
        yield (
            "hardware.strategy=ddp with optimizer=sparse-adam: GPUs (NCCL) cannot add up gradients of "
            "single rows; optimizer=adam, or hardware.accelerator=cpu"
        )


def _processes_are_there(cfg: Group) -> Iterator[str]:
    hardware, started = cfg["hardware"], started_by()
    nodes, needed = hardware["num_nodes"], hardware["num_nodes"] * hardware["devices"]
    if nodes > 1 and hardware["strategy"] == "auto":
        yield f"hardware.num_nodes={nodes}: several machines need hardware.strategy=ddp (hardware=ddp)"
    elif nodes > 1 and started is None:
        yield (
            f"hardware.num_nodes={nodes}: nobody starts the processes of the other machines; start this "
            f"command on each of them with torchrun --nnodes={nodes} --nproc-per-node={hardware['devices']} "
            "(--no-python), or with srun"
        )
    elif started is not None and started[1] != needed and (started[1] > 1 or nodes > 1):
        yield (
            f"hardware.num_nodes={nodes} and hardware.devices={hardware['devices']}: {needed} processes, "
            f"but {started[0]} started {started[1]}"
        )


def _split_is_possible(cfg: Group) -> Iterator[str]:
    split = instantiate(cfg["split"], _convert_="all")
    source = instantiate(cfg["data"], _convert_="all")
    yield from split.check(getattr(source, "name", None))


def _lists_can_be_measured(cfg: Group) -> Iterator[str]:
    loss, ranking = cfg["loss"]["_target_"].rsplit(".", 1)[-1], cfg["ranking"]
    if ranks(cfg) and ranking["k"] == 0:
        yield f"ranking.k=0 with loss={loss}: its weights are chosen by val/ndcg@k; ranking.k=10"
    if ranks(cfg) and cfg["hardware"]["compile"]:
        yield (
            f"hardware.compile=true with loss={loss}: batches differ in how many items are liked, and each "
            "number would be compiled anew; hardware.compile=false"
        )
    scale, threshold = cfg["data"].get("scale"), ranking["threshold"]
    if scale and threshold is not None and not scale[0] <= threshold <= scale[1]:
        yield f"ranking.threshold={threshold}: ratings are {scale[0]} to {scale[1]} (data.scale)"


def _can_be_compiled(cfg: Group) -> Iterator[str]:
    if not cfg["hardware"]["compile"]:
        return
    for key, value in (("head", "ordinal"), ("history", True)):
        if cfg["model"].get(key) == value:
            told = str(value).lower()
            yield (
                f"hardware.compile=true with model.{key}={told}: what it computes cannot be compiled whole; "
                "hardware.compile=false, or model=embedding-net"
            )


def _one_average(cfg: Group) -> Iterator[str]:
    if cfg["averaging"] and ranks(cfg):
        yield "averaging of weights with a loss that ranks: lists are not measured with it; averaging=none"
    if cfg["averaging"] and cfg["snapshots"] > 1:
        yield f"snapshots={cfg['snapshots']} with averaging of weights: averaging=none, or snapshots=1"


def _goes_on_or_begins(cfg: Group) -> Iterator[str]:
    if cfg["run"] is not None and not cfg["resume"]:
        yield f"run={cfg['run']}: only with resume=true; output_dir=... names the folder of a new run"
    if cfg["resume"] and cfg["run"] is None:
        yield "resume=true: with which run? run=<folder>, or run=latest"


def _data_source_is_valid(cfg: Group) -> Iterator[str]:
    yield from instantiate(cfg["data"], _convert_="all").check()


Rule = Callable[[Group], Iterator[str]]
DATA_PAIRS: tuple[Rule, ...] = (_data_source_is_valid,)
PAIRS: tuple[Rule, ...] = (
    _hardware_is_there,
    _processes_are_there,
    _optimizer_can_be_built,
    _rows_alone_have_gradients,
    _split_is_possible,
    _can_be_compiled,
    _one_average,
    _lists_can_be_measured,
    _goes_on_or_begins,
    *DATA_PAIRS,
)
