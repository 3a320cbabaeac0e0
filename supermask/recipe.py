"""Recipes: how weights are trained, as data. Optimiser, schedule, weight decay, loss, and what is done to images.

The default is that of Zhou et al. 2019 and Frankle & Carbin 2019: Adam at a constant rate, on images as they are.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from itertools import pairwise
from typing import Any

import jax
import numpy as np
import optax
from jaxtyping import PyTree

from supermask.augmentation import Augmentation
from supermask.checks import check_flag, check_whole
from supermask.counts import exact_fraction, own_number, settle_numbers

OPTIMISERS = ("adam", "adamw", "sgd", "nesterov")
SCHEDULES = ("constant", "steps", "cosine")

Rate = float | Callable[[Any], Any]
"""A constant learning rate, or a function of the number of steps before."""

_REAL = ("momentum", "warm_up", "cut_factor", "weight_decay", "clip", "label_smoothing")


@dataclass(frozen=True)
class Recipe:
    """How weights are trained. It says nothing of lengths, so that it can be used for any.

    Raises ValueError for an unknown name, a number that is out of its range, and for a setting that the optimiser or
    the schedule does not have.

    Attributes:
        optimiser: 'adam', 'adamw' (decoupled weight decay), 'sgd', or 'nesterov' (SGD with Nesterov's momentum).
        learning_rate: the largest one. None for that of the protocol, or of the trainer's `TrainingConfig`.
        batch_size: images per step. None as for `learning_rate`.
        momentum: of 'sgd' and 'nesterov'.
        schedule: 'constant'; 'steps', which multiplies the rate by `cut_factor` after each of `cuts`; or 'cosine',
            which lets it fall to 0 along half a cosine.
        warm_up: fraction of the training in which the rate first rises from 0 in equal steps. A cosine begins after it.
        cuts: fractions of the training, ascending.
        cut_factor: above 0, below 1.
        weight_decay: of all weights and biases. It times the weights is added to the gradient; for 'adamw', to what
            the optimiser makes of the gradient.
        clip: largest norm of the gradient of all weights and biases that are trained; a longer gradient is shortened,
            before weight decay. 0 for none.
        label_smoothing: part of the target that is spread evenly over all classes, in training alone.
        augment: how training images are changed, anew in every step. None for images as they are.
        normalise: whether each channel's mean over the training images is subtracted, and the rest divided by its
            standard deviation, in training and in evaluation.
    """

    optimiser: str = "adam"
    learning_rate: float | None = None
    batch_size: int | None = None
    momentum: float = 0.9
    schedule: str = "constant"
    warm_up: float = 0.0
    cuts: tuple[float, ...] = (0.5, 0.75)
    cut_factor: float = 0.1
    weight_decay: float = 0.0
    clip: float = 0.0
    label_smoothing: float = 0.0
    augment: Augmentation | None = None
    normalise: bool = False

    def __post_init__(self) -> None:
        for name, choices in (("optimiser", OPTIMISERS), ("schedule", SCHEDULES)):
            if (value := getattr(self, name)) not in choices:
                raise ValueError(f"{name} is {value!r}; allowed: {', '.join(choices)}")
        self._settle()
        for name, fits, allowed in (
            ("learning_rate", self.learning_rate is None or 0 < self.learning_rate < math.inf, "more than 0"),
            ("momentum", 0 <= self.momentum < 1, "0 or more, below 1"),
            ("warm_up", 0 <= self.warm_up < 1, "0 or more, below 1: a fraction of the training"),
            ("cuts", _ascending(self.cuts), "fractions of the training above 0 and below 1, ascending, one or more"),
            ("cut_factor", 0 < self.cut_factor < 1, "above 0, below 1"),
            ("weight_decay", 0 <= self.weight_decay < math.inf, "0 or more"),
            ("clip", 0 <= self.clip < math.inf, "0 for none, or the largest norm"),
            ("label_smoothing", 0 <= self.label_smoothing < 1, "0 or more, below 1"),
        ):
            if not fits:
                raise ValueError(f"{name} is {getattr(self, name)}; allowed: {allowed}")
        self._check_together()

    def _settle(self) -> None:
        """Take Python's own numbers, so that equal recipes have equal descriptions."""
        cuts: Any = self.cuts
        if isinstance(cuts, str | bytes) or not hasattr(cuts, "__iter__"):
            raise ValueError(f"cuts is {cuts!r}; allowed: fractions of the training, such as (0.5, 0.75)")
        object.__setattr__(self, "cuts", tuple(float(own_number("cuts", cut)) for cut in cuts))
        for name in _REAL if self.learning_rate is None else (*_REAL, "learning_rate"):
            settle_numbers(self, name)
            object.__setattr__(self, name, float(getattr(self, name)))
        if self.batch_size is not None:
            object.__setattr__(self, "batch_size", check_whole("batch_size", self.batch_size, 1))
        check_flag("normalise", self.normalise)
        if self.augment is not None and not isinstance(self.augment, Augmentation):
            raise ValueError(f"augment is {self.augment!r}; allowed: None, or an Augmentation")

    def _check_together(self) -> None:
        """Refuse what would be ignored."""
        steps = self.schedule == "steps"
        if self.optimiser not in ("sgd", "nesterov") and self.momentum != Recipe.momentum:
            raise ValueError(f"momentum is {self.momentum} for {self.optimiser}; allowed for sgd and nesterov alone")
        if self.optimiser == "nesterov" and not self.momentum:
            raise ValueError("momentum is 0.0 for nesterov; allowed: more than 0")
        for name in ("cuts", "cut_factor"):
            if not steps and getattr(self, name) != getattr(Recipe, name):
                value = getattr(self, name)
                raise ValueError(f"{name} is {value} for schedule {self.schedule!r}; allowed for 'steps' alone")
        if steps and self.cuts[0] <= self.warm_up:
            raise ValueError(f"cuts is {self.cuts}, and warm_up {self.warm_up}; allowed: cuts after the warm-up alone")
        if self.augment is not None and self.augment == Augmentation(0, flip=False):
            raise ValueError(f"augment is {self.augment}, which changes nothing; allowed: None, or one that does")

    @property
    def plain(self) -> bool:
        """Whether it is Adam at a constant rate, without anything else.

        Machine code for live weights, and trainings without dead units, know this alone: all else is trained whole.
        """
        return replace(self, learning_rate=None, batch_size=None) == PLAIN

    @property
    def descends_plainly(self) -> bool:
        """Whether gradients become updates as by default, so that another optimiser can take its place."""
        return replace(self, label_smoothing=0.0, augment=None, normalise=False).plain

    def changed(self) -> dict[str, Any]:
        """Return the settings that differ from the default, by name."""
        return {f.name: getattr(self, f.name) for f in fields(self) if getattr(self, f.name) != f.default}

    def rate(self, learning_rate: float, steps: int) -> Rate:
        """Return the learning rate of a training of `steps` steps, whose largest one is `learning_rate`."""
        warm = _floor(self.warm_up, steps)
        if self.schedule == "cosine":
            after: Rate = optax.cosine_decay_schedule(learning_rate, max(steps - warm, 1))
        elif self.schedule == "steps":
            factors: dict[int, float] = {}
            for cut in self.cuts:
                at = _floor(cut, steps) - warm
                factors[at] = factors.get(at, 1.0) * self.cut_factor
            after = optax.piecewise_constant_schedule(learning_rate, factors)
        else:
            after = optax.constant_schedule(learning_rate) if warm else learning_rate
        if not warm or not callable(after):
            return after
        return optax.join_schedules([optax.linear_schedule(0.0, learning_rate, warm), after], [warm])

    def transformation(self, learning_rate: float, steps: int) -> optax.GradientTransformation:
        """Return the optimiser of a training of `steps` steps, as optax has it; the rate is applied last."""
        decay = [optax.add_decayed_weights(self.weight_decay)] if self.weight_decay else []
        clip = [optax.clip_by_global_norm(self.clip)] if self.clip else []
        if self.optimiser in ("adam", "adamw"):
            direction = [optax.scale_by_adam()]
        else:
            nesterov = self.optimiser == "nesterov"
            direction = [optax.trace(self.momentum, nesterov=nesterov)] if self.momentum else []
        order = (direction, decay) if self.optimiser == "adamw" else (decay, direction)
        parts = [*clip, *order[0], *order[1], optax.scale_by_learning_rate(self.rate(learning_rate, steps))]
        return optax.chain(*parts)


def check_recipe(recipe: Recipe, learning_rate: float, batch_size: int, *, other_optimiser: bool) -> None:
    """Raise ValueError for numbers other than the configuration's, and for an optimiser beside another one."""
    for name, value in (("learning_rate", learning_rate), ("batch_size", batch_size)):
        own = getattr(recipe, name)
        if own not in (None, value):
            raise ValueError(f"recipe.{name} is {own}, and config.{name} {value}; allowed: the same, or None")
    if other_optimiser and not recipe.descends_plainly:
        raise ValueError(
            f"optimiser is given beside recipe {recipe}; allowed with it: label_smoothing, augment and normalise"
        )


def at_step(optimiser_state: PyTree, step: int) -> PyTree:
    """Return the state, on the host, with its learning rate where it is after `step` steps; all else stays as it is."""
    return jax.tree.map(
        lambda part: part._replace(count=np.asarray(step, np.int32)) if _is_schedule(part) else part,
        optimiser_state,
        is_leaf=_is_schedule,
    )


def _is_schedule(part: Any) -> bool:
    return isinstance(part, optax.ScaleByScheduleState)


def _ascending(cuts: tuple[float, ...]) -> bool:
    return bool(cuts) and all(0 < low < high for low, high in pairwise((*cuts, 1.0)))


def _floor(fraction: float, steps: int) -> int:
    """Return that part of the steps, rounded down exactly: 0.29 of 100 steps are 29."""
    return math.floor(exact_fraction(fraction) * steps)


PLAIN = Recipe()
"""The default."""
