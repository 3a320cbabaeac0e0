"""Description of one compressed network."""

from dataclasses import dataclass

from supermask.checks import check_flag, check_whole
from supermask.compression.pruning import RECIPE_NAMES
from supermask.compression.quantisation import MOST_BITS
from supermask.sparse_training.runs import RECIPE_METHOD, SparseRun


@dataclass(frozen=True)
class CompressionRun:
    """A compressed network, independent of seed and protocol. The default is Deep Compression as published.

    recipe: 'paper' for the paper's percentages and bits, 'further' for smaller ones: see `RECIPES`.
    bits: bits of the shared values in every layer; 0 for the recipe's.
    pruned: whether the network was pruned first, by the recipe; otherwise every weight is kept.
    """

    recipe: str = "paper"
    bits: int = 0
    pruned: bool = True

    def __post_init__(self) -> None:
        if self.recipe not in RECIPE_NAMES:
            raise ValueError(f"recipe is {self.recipe!r}; allowed: {', '.join(RECIPE_NAMES)}")
        object.__setattr__(self, "bits", check_whole("bits", self.bits, 0))
        if self.bits > MOST_BITS:
            raise ValueError(f"bits is {self.bits}; allowed: 0 to {MOST_BITS}")
        check_flag("pruned", self.pruned)

    @property
    def source(self) -> SparseRun:
        """The training whose network it compresses: gradual pruning from the trained network, or dense training."""
        return SparseRun(RECIPE_METHOD, distribution=self.recipe, start="trained") if self.pruned else SparseRun()
