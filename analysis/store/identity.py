"""What a result is called: its description, everything that determines it and nothing else, and the hash of that.

So the same result is recognised whatever figure asks for it, however many rounds or seeds it is asked with.
"""

import hashlib
import json
from typing import Any

Description = dict[str, Any]

REVISIONS = {"pruned training": 2, "learned_mask": 3, "rescaled mask": 4, "compression": 2, "neural_graph": 2}
"""By what a change of code changed, 1 where it's not named: so that old results and new are not taken for one another.

Pruned trainings (round 1 and later): 2 since dead units are left out. Learned masks: 2 since draws use all of threefry,
3 since all layers' bits are drawn at one go; where they are rescaled, 4 since the gradient passes through the factor
(edge-popup apart, whose factor is constant). Compressed networks: 2 since k-means runs to its end and filler zeros have
a code of their own. Neural graphs, and curves over one shared weight of theirs: 2 since their filters are matrices.

The rule of a criterion or action that changed has a revision of its own, in `rules`: results under other rules keep
their names.
"""


def identity(description: Description) -> str:
    """A description's name: the first 32 hex digits of the SHA-256 of its canonical JSON."""
    text = json.dumps(description, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:32]
