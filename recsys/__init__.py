"""Deep recommenders on MovieLens: a PyTorch Lightning + Hydra experiment framework."""

import os

# OpenMP threads that spin while they wait slow a shared machine several times over. The setting is read
# once, when torch is loaded, so it stands here: before anything in this package can import torch.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

__version__ = "0.1.0"
