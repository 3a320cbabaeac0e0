"""Ids of results: the hash of a description, which contains everything that determines the result and nothing else.

The same result is therefore recognised whichever figure requests it, with any number of rounds or seeds.
"""

import hashlib
import json
from typing import Any

Description = dict[str, Any]

REVISIONS = {
    **{"pruned training": 2, "live training": 3, "live dsd": 2, "live sparse training": 2},
    **{"learned_mask": 3, "rescaled mask": 4, "compression": 2, "live compression": 3, "neural_graph": 3},
}
"""Revisions of results whose numbers changed with the code: old and new results are not confused. 1 if not listed.

Pruned trainings (round 1 and later): 2 since dead units are left out, 3 if they step over live weights only. Sparse
trainings, and sparse phases of dense-sparse-dense trainings, that do: 2. Learned masks: 2 since random draws use all of
threefry, 3 since the bits of all layers are drawn at once; with rescaling, 4 since the gradient passes through the
factor (except for edge-popup, whose factor is constant). Compressed networks: 2 since k-means runs to convergence and
filler zeros have their own code, 3 if their values are tuned over live weights only. Neural graphs, and curves over one
shared weight of theirs: 2 since their filters are matrices, 3 since initial weights, normalisation, edges, augmentation
and schedule are the released code's.

A changed rule of a criterion or action has its own revision, in `rules`, so that results under other rules keep their
names.
"""


_CANONICAL = json.JSONEncoder(sort_keys=True, separators=(",", ":"), allow_nan=False)


def canonical(description: Description) -> str:
    """Return a description's canonical JSON. Raises ValueError if it holds what JSON cannot."""
    return _CANONICAL.encode(description)


def id_of_canonical(text: str) -> str:
    """Return the id of the description with this canonical JSON."""
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def identity(description: Description) -> str:
    """Return a description's id: the first 32 hex digits of the SHA-256 of its canonical JSON."""
    return id_of_canonical(canonical(description))
