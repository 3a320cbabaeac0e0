"""Training whose steps cost only what the live weights cost: dense layers, pruned weights at 0, on CPU.

masks = live_masks(network, params, masks)          # None where a network can't be trained like this
engine = Engine(network, data, batch_size=60, optimiser=Adam(1.2e-3))
live = engine.begin(params, masks)
scores = engine.advance(live, batches, taken=0)     # steps, then loss and accuracy on validation data
params = engine.params(live)
"""

from supermask.live_weights.choice import pays as pays
from supermask.live_weights.choice import serves as serves
from supermask.live_weights.choice import sparse_enough as sparse_enough
from supermask.live_weights.engine import Engine as Engine
from supermask.live_weights.engine import Live as Live
from supermask.live_weights.optimisers import Adam as Adam
from supermask.live_weights.optimisers import Momentum as Momentum
from supermask.live_weights.optimisers import Optimiser as Optimiser
from supermask.live_weights.rows import LiveMasks as LiveMasks
from supermask.live_weights.rows import live_masks as live_masks
