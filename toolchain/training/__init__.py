"""Training: recipes, the loop, checkpoints, evaluation, and weights on disk.

The test split is not looked at: the epoch with the best validation accuracy is kept. Importing the room loads no torch.
"""

from typing import TYPE_CHECKING

from snnas.toolchain import lazily

if TYPE_CHECKING:
    from snnas.toolchain.training.checkpoint import Checkpoint as Checkpoint
    from snnas.toolchain.training.config import TrainingConfig as TrainingConfig
    from snnas.toolchain.training.config import load_recipe as load_recipe
    from snnas.toolchain.training.config import recipe_for as recipe_for
    from snnas.toolchain.training.config import recipe_names as recipe_names
    from snnas.toolchain.training.config import recipe_of as recipe_of
    from snnas.toolchain.training.evaluation import evaluate as evaluate
    from snnas.toolchain.training.loop import Record as Record
    from snnas.toolchain.training.loop import TrainingResult as TrainingResult
    from snnas.toolchain.training.loop import train as train
    from snnas.toolchain.training.weights import METADATA_KEY as METADATA_KEY
    from snnas.toolchain.training.weights import build as build
    from snnas.toolchain.training.weights import load_weights as load_weights
    from snnas.toolchain.training.weights import save_weights as save_weights

__getattr__ = lazily(
    __name__,
    {
        "Checkpoint": "checkpoint",
        **dict.fromkeys(("TrainingConfig", "load_recipe", "recipe_for", "recipe_names", "recipe_of"), "config"),
        "evaluate": "evaluation",
        **dict.fromkeys(("Record", "TrainingResult", "train"), "loop"),
        **dict.fromkeys(("METADATA_KEY", "build", "load_weights", "save_weights"), "weights"),
    },
)
