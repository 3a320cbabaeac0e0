"""Networks of other module systems for the toolkit's trainers: any Flax module, Equinox modules, and plain functions.

Each function returns a `Network`. Prunable are the leaves that `where` chooses, by default floating arrays of two axes
or more whose path names no bias, normalisation or embedding: `supermask.trees.by_default`. `output` is the layer that
puts out logits, which has a pruning rate of its own.
"""

from supermask.adapters.adapted import Adapted as Adapted
from supermask.adapters.equinox import of_equinox as of_equinox
from supermask.adapters.functions import of_functions as of_functions
from supermask.adapters.linen import of_linen as of_linen
from supermask.adapters.nnx import of_nnx as of_nnx
