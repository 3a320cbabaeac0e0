"""Sparse training in your own loop: each method is an optax optimiser whose state holds the masks.

    optimiser = rigl(optax.sgd(0.1, momentum=0.9), density=0.1, steps=10_000, key=jax.random.key(0))
    state = optimiser.init(params)
    params = apply_masks(params, masks_of(state, params))
    # then in every step, as usual:
    updates, state = optimiser.update(jax.grad(loss)(params), state, params)
    params = optax.apply_updates(params, updates)

Parameters may be any pytree. Dead weights are exactly 0 after every step; DNW keeps their values in its state. Take the
loss at these parameters, and pass its whole gradient, dead weights included, to `update`: RigL, sparse momentum and DNW
grow weights by it. Add the updates unchanged: in `optax.chain` these optimisers come last.

A step does the same as the toolkit's own trainer, by the same functions: see `supermask.sparse_training`.
"""

import optax

from supermask.checks import check_whole
from supermask.keys import AnyKey
from supermask.sparse_training import METHODS, Horizon
from supermask.sparse_training.as_optimiser import Distribution, as_optimiser
from supermask.sparse_training.deep_r import DeepRConfig
from supermask.sparse_training.drop_and_grow import DropAndGrowConfig
from supermask.sparse_training.dsr import DSRConfig
from supermask.sparse_training.magnitude_pruning import MagnitudePruningConfig
from supermask.sparse_training.sparse_momentum import SparseMomentumConfig
from supermask.trees import Where


def static(
    optimiser: optax.GradientTransformation,
    *,
    density: float,
    steps: int,
    key: AnyKey,
    distribution: Distribution = "erk",
    where: Where | None = None,
) -> optax.GradientTransformationExtraArgs:
    """Train a random mask that never changes: the baseline of all other methods.

    optimiser: any optax optimiser.
    density: live weights over prunable ones; exactly floor(density × weights) are live.
    steps: length of the training in steps.
    key: a threefry key for all random draws: initial masks, random growth, ties.
    distribution: how layers share the live weights: 'erk', by Erdős–Rényi, or 'uniform'.
    where: function of path and leaf that says which leaves are pruned; by default floating-point leaves of two or more
        axes that are no bias, normalisation or embedding.

    To train masks of your own, use `freeze`. Mostafa & Wang 2019 (arXiv 1902.05967), section 4.

    Raises ValueError for densities, steps and keys that are not allowed; at initialisation, if nothing is prunable or
    the density leaves a layer without weights.
    """
    return as_optimiser(METHODS["static"], optimiser, density, Horizon(steps, 1), key, None, distribution, where)


def set_training(
    optimiser: optax.GradientTransformation,
    *,
    density: float,
    steps: int,
    key: AnyKey,
    fraction: float = DropAndGrowConfig.fraction,
    every: int = 0,
    until: float = DropAndGrowConfig.until,
    distribution: Distribution = "erk",
    where: Where | None = None,
) -> optax.GradientTransformationExtraArgs:
    """SET, sparse evolutionary training: each layer drops its smallest weights, and grows as many at random.

    fraction: fraction of a layer's live weights dropped at the first change; decays to 0 along half a cosine.
    every: steps between changes; 0 for 100, or for a fiftieth of a training shorter than 5,000 steps.
    until: fraction of the training after which masks stay fixed.

    The other arguments are those of `static`. A weight that comes alive starts at 0, and so does its state in the
    optimiser, except state that many weights share, such as Adafactor's moments. Mocanu et al. 2018 (arXiv 1707.04780).

    Raises ValueError as `static` does, for values outside 0..1, and for a training that ends before the first change.
    """
    config = DropAndGrowConfig(fraction, every, until)
    return as_optimiser(METHODS["set"], optimiser, density, Horizon(steps, 1), key, config, distribution, where)


def rigl(
    optimiser: optax.GradientTransformation,
    *,
    density: float,
    steps: int,
    key: AnyKey,
    fraction: float = DropAndGrowConfig.fraction,
    every: int = 0,
    until: float = DropAndGrowConfig.until,
    distribution: Distribution = "erk",
    where: Where | None = None,
) -> optax.GradientTransformationExtraArgs:
    """RigL: each layer drops its smallest weights, and grows as many where the batch's gradient is largest.

    Arguments and errors are those of `set_training`. The step of a change also updates the weights.
    Evci et al. 2020 (arXiv 1911.11134), algorithm 1.
    """
    config = DropAndGrowConfig(fraction, every, until)
    return as_optimiser(METHODS["rigl"], optimiser, density, Horizon(steps, 1), key, config, distribution, where)


def deep_r(
    optimiser: optax.GradientTransformation,
    *,
    density: float,
    steps: int,
    key: AnyKey,
    shrinkage: float = DeepRConfig.shrinkage,
    noise: float = DeepRConfig.noise,
    distribution: Distribution = "erk",
    where: Where | None = None,
) -> optax.GradientTransformationExtraArgs:
    """DeepR, deep rewiring: live weights keep their signs; those that would cross zero are replaced by random ones.

    shrinkage: gradient of an L1 penalty, per live weight.
    noise: standard deviation of Gaussian noise in the gradient of live weights.

    The other arguments are those of `static`. The mask may change at every step. A weight that comes alive starts at 0,
    with a random sign. Bellec et al. 2018 (arXiv 1711.05136), algorithm 1.

    Raises ValueError as `static` does, and for impossible values.
    """
    config = DeepRConfig(shrinkage, noise)
    return as_optimiser(METHODS["deep_r"], optimiser, density, Horizon(steps, 1), key, config, distribution, where)


def dsr(
    optimiser: optax.GradientTransformation,
    *,
    density: float,
    steps: int,
    key: AnyKey,
    threshold: float = DSRConfig.threshold,
    fraction: float = DSRConfig.fraction,
    every: int = 0,
    doublings: tuple[float, ...] = DSRConfig.doublings,
    distribution: Distribution = "uniform",
    where: Where | None = None,
) -> optax.GradientTransformationExtraArgs:
    """Dynamic sparse reparameterization: prunes weights below a threshold, and regrows them where layers keep many.

    threshold: magnitude below which the first change prunes; it adapts by factors of 2.
    fraction: fraction of the live weights that a change aims to move.
    every: initial steps between changes; 0 for 100, or for a fiftieth of a training shorter than 5,000 steps.
    doublings: fractions of the training after which that number doubles.

    The other arguments are those of `static`. The network's number of live weights is constant, a layer's is not.
    Mostafa & Wang 2019 (arXiv 1902.05967), algorithm 1.

    Raises ValueError as `static` does, for impossible values, and for a training that ends before the first change.
    """
    config = DSRConfig(threshold, fraction, every, doublings)
    return as_optimiser(METHODS["dsr"], optimiser, density, Horizon(steps, 1), key, config, distribution, where)


def sparse_momentum(
    optimiser: optax.GradientTransformation,
    *,
    density: float,
    steps: int,
    key: AnyKey,
    every: int,
    fraction: float = SparseMomentumConfig.fraction,
    last_fraction: float = SparseMomentumConfig.last_fraction,
    decay: float = SparseMomentumConfig.decay,
    dense_below: float = SparseMomentumConfig.dense_below,
    most_grown: float = SparseMomentumConfig.most_grown,
    distribution: Distribution = "uniform",
    where: Where | None = None,
) -> optax.GradientTransformationExtraArgs:
    """Sparse momentum: moves weights to the layers and places whose gradients keep their direction.

    every: steps between changes; those of one epoch, as published.
    fraction, last_fraction: fractions of a layer's live weights dropped at the first change and at the training's end.
    decay: decay of the running mean of gradients.
    dense_below: sparsity below which a layer counts as dense, and drops at most its sparsity; 0 for no layer.
    most_grown: fraction of a layer's dead places that one change may grow.

    The other arguments are those of `static`. The network's number of live weights is constant, a layer's is not.
    Dettmers & Zettlemoyer 2019 (arXiv 1907.04840), section 3.

    Raises ValueError as `static` does, for impossible values, and for a training that ends before the first change.
    """
    check_whole("every", every, 1)
    config = SparseMomentumConfig(fraction, last_fraction, every, decay, dense_below, most_grown)
    horizon = Horizon(steps, every)
    return as_optimiser(METHODS["sparse_momentum"], optimiser, density, horizon, key, config, distribution, where)


def dnw(
    optimiser: optax.GradientTransformation,
    *,
    density: float,
    steps: int,
    key: AnyKey,
    distribution: Distribution = "erk",
    where: Where | None = None,
) -> optax.GradientTransformationExtraArgs:
    """Discovering neural wirings: each layer's largest weights are live, and the gradient updates all weights.

    Arguments and errors are those of `static`. The state holds the value of every weight, live or dead; the parameters
    are those of the sparse network. Wortsman, Farhadi & Rastegari 2019 (arXiv 1906.00586), section
    2.3.
    """
    return as_optimiser(METHODS["dnw"], optimiser, density, Horizon(steps, 1), key, None, distribution, where)


def magnitude_pruning(
    optimiser: optax.GradientTransformation,
    *,
    density: float,
    steps: int,
    key: AnyKey,
    every: int = 0,
    until: float = MagnitudePruningConfig.until,
    distribution: Distribution = "erk",
    where: Where | None = None,
) -> optax.GradientTransformationExtraArgs:
    """Gradual magnitude pruning: starts dense, and prunes the smallest weights for good by a cubic schedule.

    every: steps between prunings; 0 for 100, or for a fiftieth of a training shorter than 5,000 steps.
    until: fraction of the training at which the density is reached.

    The other arguments are those of `static`. Zhu & Gupta 2017 (arXiv 1710.01878), equation 1.

    Raises ValueError as `static` does, for impossible values, and for a training that ends before the first pruning.
    """
    entry, config = METHODS["magnitude_pruning"], MagnitudePruningConfig(every, until)
    return as_optimiser(entry, optimiser, density, Horizon(steps, 1), key, config, distribution, where)
