"""The random numbers of training: of dropout, and of what a loss draws. A resumed run continues their sequences."""

from collections.abc import Mapping
from typing import Any

import torch
from pytorch_lightning import LightningModule
from torch import Generator, Tensor

from recsys.data.seeds import seed_for
from recsys.errors import RunError


class RandomState:
    """The generators of one process, seeded differently in every process.

    Args:
        module: the module that is trained.
        seed: seed of all generators.

    Attributes:
        draws: the generator of a loss's random draws, such as negatives.
    """

    def __init__(self, module: LightningModule, seed: int) -> None:
        self.device, self.process_rank = module.device, module.global_rank
        torch.manual_seed(seed_for(seed, "dropout", self.process_rank))
        self.draws = Generator(self.device).manual_seed(seed_for(seed, "negatives", self.process_rank))

    def save(self, module: LightningModule) -> dict[str, Any]:
        """Return the type of the device, and the states of all processes, one row each: uint8 (processes, n)."""
        states = {"dropout": self._default().get_rng_state(), "negatives": self.draws.get_state()}
        processes = module.trainer.world_size
        gathered = {
            name: torch.as_tensor(module.all_gather(state.to(self.device))).view(processes, -1)
            for name, state in states.items()
        }
        return {"device": self.device.type, "generators": gathered}

    def restore(self, saved: Mapping[str, Any]) -> None:
        """Continue from what `save` has returned; what is missing is not restored.

        Raises:
            RunError: it was saved on another type of device, which draws other random numbers.
        """
        device, before = self.device.type, saved.get("device", self.device.type)
        if before != device:
            raise RunError(
                f"cannot continue on {device}: the run was trained on {before!r:.20}, which draws other random "
                "numbers; resume it on a machine with such a device, or start a new run"
            )
        if "generators" in saved:
            self._default().set_rng_state(self._own(saved["generators"]["dropout"]))
            self.draws.set_state(self._own(saved["generators"]["negatives"]))

    def _own(self, states: Tensor) -> Tensor:
        # A clone: set_state reads from the start of the storage, and this is a row of a matrix.
        return states[self.process_rank].cpu().clone()

    def _default(self) -> Any:
        """Return the part of torch that has the device's default generator, from which dropout draws."""
        return torch if self.device.type == "cpu" else torch.get_device_module(self.device)
