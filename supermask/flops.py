"""What a network's program does with the layers' weights: multiplications of a forward pass, and which layers recur.

Matrix products and convolutions are counted: element by element, the numbers of the output times those that each sums.
Everything else, such as normalisation, is a small part. A product is credited to the layer that one of its factors
comes from, whatever it went through before; a loop counts as often as it runs.

A layer is recurrent if each turn of a loop uses its same weights, and turns feed one another products of layers, as in
a recurrent network. It is depthwise if its convolution has as many groups as channels.
"""

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import jax
from jax.extend.core import ClosedJaxpr, Jaxpr, Literal

from supermask.params import Params

Sources = frozenset[str]
"""The layers whose parameters a value is computed from; `INPUT` among them for the images, and `_carried` loops."""

INPUT = ""
WRITTEN_OUT = "_written_out"
"""Name of `supermask.any_convolution`'s function in a program: counted as the convolution that it is."""

_MARK = "\0"
_CALLS = ("jaxpr", "call_jaxpr", "fun_jaxpr")
_SLICES = {"dynamic_slice": 1, "gather": 1, "dynamic_update_slice": 2}
"""Operations whose further operands are places alone: a loop that counts its turns is no recurrence by that."""


@dataclass
class Uses:
    """What a program does: products by layer, layers by kind of use, and whether a loop's length is unknown."""

    products: Counter[str] = field(default_factory=Counter)
    depthwise: set[str] = field(default_factory=set)
    recurrent: set[str] = field(default_factory=set)
    unbounded: bool = False

    def checked_products(self) -> dict[str, int]:
        """Return the products by layer. Raises ValueError where the program does not tell how many there are."""
        if self.unbounded:
            raise ValueError("the network has products in a loop of unknown length; allowed: a number of turns known")
        return dict(self.products)


class _Within(NamedTuple):
    """Where in a program an equation is: how often it runs, and what is known of each loop around it.

    repeated: the layers whose same weights every turn has. used: those of them with products, noted as they are found.
    fed: whether such a product is of what a turn before computed, noted as well.
    """

    times: int = 1
    repeated: tuple[Sources, ...] = ()
    used: tuple[set[str], ...] = ()
    fed: tuple[list[bool], ...] = ()


def uses_of_layers(function: Callable[[Params, Any], Any], params: Params, image: Any) -> Uses:
    """Return what a function of parameters and an image does with each layer's weights. Nothing is computed.

    Products are in the order of the program; those of two values that both depend on the image, such as in attention,
    are under ''.
    """
    closed = jax.make_jaxpr(function)(params, image)
    sources = [frozenset([layer]) for layer in sorted(params) for _ in params[layer]]
    uses = Uses()
    _walk(closed.jaxpr, [*sources, frozenset([INPUT])], uses, _Within())
    return uses


def _walk(jaxpr: Jaxpr, inputs: Sequence[Sources], uses: Uses, within: _Within) -> list[Sources]:
    """Note the uses of a program; return the sources of its outputs."""
    known: dict[Any, Sources] = dict(zip(jaxpr.invars, inputs, strict=True))

    def of(variable: Any) -> Sources:
        return frozenset() if isinstance(variable, Literal) else known.get(variable, frozenset())

    for equation in jaxpr.eqns:
        own = [of(variable) for variable in equation.invars]
        found = _equation(equation, own, uses, within)
        known.update(zip(equation.outvars, found, strict=True))
    return [of(variable) for variable in jaxpr.outvars]


def _equation(equation: Any, inputs: Sequence[Sources], uses: Uses, within: _Within) -> list[Sources]:
    name, params = equation.primitive.name, equation.params
    values = _SLICES.get(name, len(inputs))
    every = [frozenset().union(*inputs[:values], *map(_lasting, inputs[values:]))] * len(equation.outvars)
    if (each := _summed(equation)) is not None:
        layer = _credited(inputs)
        uses.products[layer] += within.times * math.prod(equation.outvars[0].aval.shape) * each
        _note_kind(equation, layer, inputs, uses, within)
        return every
    if name == "scan":
        return _scan(params, inputs, uses, within)
    if name == "while":
        uses.unbounded |= _counts(params["body_jaxpr"])
        return every
    if name == "cond":
        return _branches(params["branches"], inputs[1:], uses, within)
    inner = next((params[key] for key in _CALLS if key in params), None)
    if inner is None:
        return every
    return _walk(_open(inner), inputs, uses, within)


def _carried(depth: int) -> str:
    """Return what stands among the sources for the turns before in a loop inside of so many others."""
    return f"{_MARK}{depth}"


def _lasting(sources: Sources) -> Sources:
    """Return the sources without loops' turns."""
    return frozenset(name for name in sources if not name.startswith(_MARK))


def _credited(inputs: Sequence[Sources]) -> str:
    """Return the one layer that a product's factor comes from; `INPUT` if there is none, or no one."""
    credited = [own for own in map(_lasting, inputs) if len(own) == 1 and INPUT not in own]
    return next(iter(credited[0])) if len(credited) == 1 else INPUT


def _note_kind(equation: Any, layer: str, inputs: Sequence[Sources], uses: Uses, within: _Within) -> None:
    """Note a product's layer if it is depthwise, and for each loop around it whether the layer's weights recur."""
    if layer == INPUT:
        return
    if _by_channel(equation):
        uses.depthwise.add(layer)
    for depth, repeated in enumerate(within.repeated):
        if layer in repeated:
            within.used[depth].add(layer)
            within.fed[depth][0] |= any(_carried(depth) in own for own in inputs)


def _by_channel(equation: Any) -> bool:
    """Return whether a product is a convolution of several channels, each by itself."""
    if equation.primitive.name == "conv_general_dilated":
        spec = equation.params["dimension_numbers"]
        places = spec.lhs_spec[1], spec.rhs_spec[1]
    elif equation.params.get("name") == WRITTEN_OUT:
        places = 3, 2
    else:
        return False
    channels, read = (of.aval.shape[at] for of, at in zip(equation.invars[:2], places, strict=True))
    return bool(read == 1 and channels > 1)


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


def _scan(params: Mapping[str, Any], inputs: Sequence[Sources], uses: Uses, within: _Within) -> list[Sources]:
    """Note a loop's body once its carried values have all their sources."""
    body, consts, carried = params["jaxpr"].jaxpr, params["num_consts"], params["num_carry"]
    own, marker = list(inputs), frozenset([_carried(len(within.repeated))])
    place = slice(consts, consts + carried)
    own[place] = [each | marker for each in own[place]]
    used, fed = set[str](), [False]
    times, repeated = within.times * params["length"], frozenset[str]().union(*inputs[:consts])
    inside = _Within(times, (*within.repeated, repeated), (*within.used, used), (*within.fed, fed))
    while True:
        found = _walk(body, own, Uses(), inside)
        together = [a | b for a, b in zip(own[place], found[:carried], strict=True)]
        if together == own[place]:
            break
        own[place] = together
    found = _walk(body, own, uses, inside)
    if fed[0] and params["length"] > 1:
        uses.recurrent |= used
    return [each - marker for each in found]


def _branches(branches: Sequence[ClosedJaxpr], inputs: Sequence[Sources], uses: Uses, within: _Within) -> list[Sources]:
    """Note the uses of all branches, and the products of the one with the most."""
    found: list[Uses] = []
    sources = []
    for branch in branches:
        own = Uses()
        sources.append(_walk(branch.jaxpr, inputs, own, within))
        found.append(own)
        uses.depthwise |= own.depthwise
        uses.recurrent |= own.recurrent
        uses.unbounded |= own.unbounded
    uses.products.update(max(found, key=lambda own: sum(own.products.values())).products)
    return [frozenset().union(*each) for each in zip(*sources, strict=True)]


def _counts(closed: ClosedJaxpr) -> bool:
    """Return whether a program has any product."""
    own = Uses()
    _walk(closed.jaxpr, [frozenset()] * len(closed.jaxpr.invars), own, _Within())
    return sum(own.products.values()) > 0 or own.unbounded


def _open(jaxpr: Any) -> Jaxpr:
    return jaxpr.jaxpr if isinstance(jaxpr, ClosedJaxpr) else jaxpr
