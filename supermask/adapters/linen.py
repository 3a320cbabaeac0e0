"""Any Flax Linen module as a network."""

from flax import linen as nn

from supermask.adapters.adapted import Adapted, network_of
from supermask.linen import LinenModel
from supermask.trees import Where


def of_linen(module: nn.Module, *, where: Where | None = None, output: str = "output") -> Adapted:
    """Return the network of a Linen module from images to logits; its __call__ may take `training` or `deterministic`.

    Raises ValueError for what is no Linen module, such as its class.
    """
    if not isinstance(module, nn.Module):
        raise ValueError(f"module is {module!r}; allowed: a Flax Linen module")
    return network_of(LinenModel(module), where, output)
