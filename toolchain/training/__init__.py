"""Training: recipes, the loop, checkpoints, evaluation, and weights on disk.

The test split is not looked at: the epoch with the best validation accuracy is kept.
"""

from toolchain.training.checkpoint import Checkpoint
from toolchain.training.config import TrainingConfig, load_recipe, recipe_names, recipe_of
from toolchain.training.evaluation import evaluate
from toolchain.training.loop import Record, TrainingResult, train
from toolchain.training.weights import METADATA_KEY, build, load_weights, save_weights

__all__ = [
    "METADATA_KEY",
    "Checkpoint",
    "Record",
    "TrainingConfig",
    "TrainingResult",
    "build",
    "evaluate",
    "load_recipe",
    "load_weights",
    "recipe_names",
    "recipe_of",
    "save_weights",
    "train",
]
