"""Calls a user's own criteria and actions once before anything is trained, so that their errors appear at once."""

from collections.abc import Sequence

import jax

from supermask.analysis.command.conformance import facts_for
from supermask.analysis.studies.experiment import Experiment
from supermask.criteria import Criterion
from supermask.evaluation import Examples
from supermask.keys import Purpose, derive_key
from supermask.members import Member
from supermask.networks import Params, kernels_of, shapes_of
from supermask.whole_network import network_scores


def try_members(own: Sequence[Member], experiment: Experiment) -> None:
    """Call each for every layer of the experiment's network.

    Raises UsageError or MemberError if one raises, or returns values of another shape.
    """
    shapes = shapes_of(experiment.network, experiment.data.image_shape) if own else {}
    for member in own:
        if isinstance(member, Criterion) and member.is_of_network:
            _try_criterion_of_network(member, experiment, shapes)
            continue
        for kernel in kernels_of(shapes).values() if own else ():
            member(facts_for(member, 0, kernel.shape))  # type: ignore[operator, arg-type]


def _try_criterion_of_network(criterion: Criterion, experiment: Experiment, shapes: Params) -> None:
    """Trace it through the network and its loss, without computing anything."""
    images, labels = experiment.data.train.images[:1], experiment.data.train.labels[:1]
    ask = network_scores(experiment.network, experiment.data.image_shape, experiment.data.maximum)
    masks = {layer: jax.ShapeDtypeStruct(kernel.shape, bool) for layer, kernel in kernels_of(shapes).items()}
    key = derive_key(0, Purpose.CRITERION)
    jax.eval_shape(lambda *given: ask(criterion, *given), shapes, shapes, masks, key, Examples(images, labels))
