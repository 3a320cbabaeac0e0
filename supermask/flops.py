"""Multiplications of a network's forward pass, counted in its program and credited to the layers.

Matrix products and convolutions are counted: element by element, the numbers of the output times those that each sums.
Everything else, such as normalisation, is a small part. A product is credited to the layer that one of its factors
comes from, whatever it went through before; a loop counts as often as it runs.
"""

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
from jax.extend.core import ClosedJaxpr, Jaxpr, Literal

from supermask.params import Params

Sources = frozenset[str]
"""The layers whose parameters a value is computed from; `INPUT` among them for the images."""

INPUT = ""
WRITTEN_OUT = "_written_out"
"""Name of `supermask.any_convolution`'s function in a program: counted as the convolution that it is."""

_CALLS = ("jaxpr", "call_jaxpr", "fun_jaxpr")


def products_by_layer(function: Callable[[Params, Any], Any], params: Params, image: Any) -> dict[str, int]:
    """Return the multiplications of a function of parameters and an image by layer, in the order of its program.

    Those of two values that both depend on the image, such as in attention, are under ''. Nothing is computed.

    Raises ValueError for a loop whose length the program does not tell.
    """
    closed = jax.make_jaxpr(function)(params, image)
    sources = [frozenset([layer]) for layer in sorted(params) for _ in params[layer]]
    counted: Counter[str] = Counter()
    _walk(closed.jaxpr, [*sources, frozenset([INPUT])], counted, 1)
    return dict(counted)


def _walk(jaxpr: Jaxpr, inputs: Sequence[Sources], counted: Counter[str], times: int) -> list[Sources]:
    """Count the products of a program; return the sources of its outputs."""
    known: dict[Any, Sources] = dict(zip(jaxpr.invars, inputs, strict=True))

    def of(variable: Any) -> Sources:
        return frozenset() if isinstance(variable, Literal) else known.get(variable, frozenset())

    for equation in jaxpr.eqns:
        own = [of(variable) for variable in equation.invars]
        found = _equation(equation, own, counted, times)
        known.update(zip(equation.outvars, found, strict=True))
    return [of(variable) for variable in jaxpr.outvars]


def _equation(equation: Any, inputs: Sequence[Sources], counted: Counter[str], times: int) -> list[Sources]:
    name, params = equation.primitive.name, equation.params
    every = [frozenset().union(*inputs)] * len(equation.outvars)
    if (each := _summed(equation)) is not None:
        credited = [own for own in inputs if len(own) == 1 and INPUT not in own]
        layer = next(iter(credited[0])) if len(credited) == 1 else INPUT
        counted[layer] += times * math.prod(equation.outvars[0].aval.shape) * each
        return every
    if name == "scan":
        return _scan(params, inputs, counted, times)
    if name == "while":
        if _counts(params["body_jaxpr"]):
            raise ValueError("the network has products in a loop of unknown length; allowed: a number of turns known")
        return every
    if name == "cond":
        return _branches(params["branches"], inputs[1:], counted, times)
    inner = next((params[key] for key in _CALLS if key in params), None)
    if inner is None:
        return every
    return _walk(_open(inner), inputs, counted, times)


def _summed(equation: Any) -> int | None:
    """Return how many products each number of an equation's output sums; None if it is no product."""
    name, params = equation.primitive.name, equation.params
    if name == "dot_general":
        (axes, _), _ = params["dimension_numbers"]
        return math.prod(equation.invars[0].aval.shape[axis] for axis in axes)
    if name == "conv_general_dilated":
        kernel, features = equation.invars[1].aval.shape, params["dimension_numbers"].rhs_spec[0]
        return math.prod(kernel) // kernel[features]
    if params.get("name") == WRITTEN_OUT:
        return math.prod(equation.invars[1].aval.shape[:3])
    return None


def _scan(params: Mapping[str, Any], inputs: Sequence[Sources], counted: Counter[str], times: int) -> list[Sources]:
    """Count a loop's body once its carried values have all their sources."""
    body, consts, carried = params["jaxpr"].jaxpr, params["num_consts"], params["num_carry"]
    own = list(inputs)
    while True:
        found = _walk(body, own, Counter(), 0)
        together = [a | b for a, b in zip(own[consts : consts + carried], found[:carried], strict=True)]
        if together == own[consts : consts + carried]:
            return _walk(body, own, counted, times * params["length"])
        own[consts : consts + carried] = together


def _branches(
    branches: Sequence[ClosedJaxpr], inputs: Sequence[Sources], counted: Counter[str], times: int
) -> list[Sources]:
    """Count the branch with the most products."""
    found: list[Counter[str]] = []
    sources = []
    for branch in branches:
        own: Counter[str] = Counter()
        sources.append(_walk(branch.jaxpr, inputs, own, times))
        found.append(own)
    counted.update(max(found, key=lambda own: sum(own.values())))
    return [frozenset().union(*each) for each in zip(*sources, strict=True)]


def _counts(closed: ClosedJaxpr) -> bool:
    """Return whether a program has any product."""
    own: Counter[str] = Counter()
    _walk(closed.jaxpr, [frozenset()] * len(closed.jaxpr.invars), own, 1)
    return sum(own.values()) > 0


def _open(jaxpr: Any) -> Jaxpr:
    return jaxpr.jaxpr if isinstance(jaxpr, ClosedJaxpr) else jaxpr
