"""The sparse engine's inner loops, as operations on LLVM vectors that numba inlines.

The batch is the innermost axis, in *blocks* of `lanes` images: a multiple of 16 that is known at compile time, so that
all sums of a unit stay in registers. LLVM does not vectorise such nested loops by itself, so the vectors are explicit;
LLVM splits them to fit any processor's registers.

Two images share a 32-bit word of `pixels`, each as the upper half of a float: integers up to 255 are exact there, and
two shifts cost less than waiting for twice the memory. The first half of a block's images is in the lower halves.

An operation's last argument is its `block`, a tuple of `lanes` / 16 zeros, because the length of a tuple is part of its
type. Rows of values, activations and gradients are `lanes` long. A row of weights is given by its start and end in the
arrays of weights and of their inputs.
"""

import inspect
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

Builder: TypeAlias = Any
Vector: TypeAlias = Any
Pointer: TypeAlias = Any
Value: TypeAlias = Any

FLOAT, INT, LONG, BYTE = ir.FloatType(), ir.IntType(32), ir.IntType(64), ir.IntType(8)
UPPER = 0xFFFF0000
BIAS, MANTISSA = 127, 23  # of a float's exponent, and the number of bits after it
EXPONENTIAL = (1.98756915e-4, 1.39819995e-3, 8.33345191e-3, 4.16657959e-2, 1.66666655e-1, 0.5, 1.0, 1.0)
"""exp(r) for |r| ≤ log(2) / 2, to a float's rounding; highest power first (Moshier, Cephes, expf)."""


def operation(emit: Callable[..., Any]) -> Any:
    """Turn a function that emits LLVM instructions into an operation that compiled functions can call.

    `emit(builder, lanes, ...)` receives a pointer for each array and an LLVM value for each number. The operation
    returns what `emit` returns: a float or nothing.
    """
    plain = inspect.unwrap(emit)
    returns = types.float32 if plain.__annotations__.get("return") is Value else types.void

    def typed(_: Any, *kinds: Any) -> Any:
        def code(context: Any, b: Builder, sig: Any, args: Any) -> Any:
            given = [
                context.make_array(kind)(context, b, value=arg).data if isinstance(kind, types.Array) else arg
                for kind, arg in zip(sig.args[:-1], args[:-1], strict=True)
            ]
            result = plain(b, 16 * sig.args[-1].count, *given)
            return context.get_dummy_value() if returns is types.void else result

        return returns(*map(types.unliteral, kinds)), code

    names = ["context", *list(inspect.signature(plain).parameters)[2:], "block"]
    parameters = [inspect.Parameter(name, inspect.Parameter.POSITIONAL_OR_KEYWORD) for name in names]
    typed.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    return intrinsic(typed)


def _vector(width: int, of: Any = FLOAT) -> Any:
    return ir.VectorType(of, width)


def _every(width: int, value: float, of: Any = FLOAT) -> Vector:
    return ir.Constant(_vector(width, of), [value] * width)


def _long(value: int) -> Value:
    return ir.Constant(LONG, value)


def _pick(b: Builder, x: Vector, y: Vector, lanes: Sequence[int]) -> Vector:
    return b.shuffle_vector(x, y, ir.Constant(_vector(len(lanes), INT), list(lanes)))


def _splat(b: Builder, value: Value, width: int) -> Vector:
    one = b.insert_element(ir.Constant(_vector(width, value.type), ir.Undefined), value, ir.Constant(INT, 0))
    return _pick(b, one, one, [0] * width)


def _call(b: Builder, name: str, *x: Vector) -> Vector:
    kind = ir.FunctionType(x[0].type, [x[0].type] * len(x))
    return b.call(cgutils.get_or_insert_function(b.module, kind, f"llvm.{name}.v{x[0].type.count}f32"), x)


def _load(b: Builder, at: Pointer, width: int, of: Any = FLOAT) -> Vector:
    value = b.load(b.bitcast(at, _vector(width, of).as_pointer()))
    value.align = 1 if of is BYTE else 4
    return value


def _store(b: Builder, value: Vector, at: Pointer) -> None:
    b.store(value, b.bitcast(at, value.type.as_pointer())).align = 4


def _at(b: Builder, start: Pointer, *offsets: Value | int) -> Pointer:
    for offset in offsets:
        start = b.gep(start, [_long(offset) if isinstance(offset, int) else offset])
    return start


def _row(b: Builder, start: Pointer, row: Value, width: int) -> Pointer:
    return b.gep(start, [b.mul(row, _long(width))])


def _index(b: Builder, indices: Pointer, at: Value) -> Value:
    return b.zext(b.load(b.gep(indices, [at])), LONG)


def _halves(b: Builder, words: Vector) -> tuple[Vector, Vector]:
    """Return the values in the lower and in the upper halves of words."""
    n, floats = words.type.count, _vector(words.type.count)
    lower, upper = b.shl(words, _every(n, 16, INT)), b.and_(words, _every(n, UPPER, INT))
    return b.bitcast(lower, floats), b.bitcast(upper, floats)


def _values(b: Builder, start: Pointer, row: Value, lanes: int, pixels: bool) -> Vector:
    """Load a pixel's or a unit's values in all lanes."""
    if not pixels:
        return _load(b, _row(b, start, row, lanes), lanes)
    words = _load(b, _row(b, start, row, lanes // 2), lanes // 2, INT)
    return _pick(b, *_halves(b, words), range(lanes))


def _sum(
    b: Builder, lanes: int, read: Pointer, which: Pointer, weights: Pointer, at: tuple[Value, Value], pixels: bool
) -> Vector:
    """Return Σ weight × input over a row of weights."""
    total = cgutils.alloca_once_value(b, _every(lanes, 0.0))
    with cgutils.for_range_slice(b, *at, _long(1), LONG) as (p, _):
        values = _values(b, read, _index(b, which, p), lanes, pixels)
        weight = _splat(b, b.load(b.gep(weights, [p])), lanes)
        b.store(_call(b, "fmuladd", weight, values, b.load(total)), total)
    return b.load(total)


def _forward(pixels: bool, rectified: bool) -> Any:
    @operation
    def forward(
        b: Builder, lanes: int, read: Any, which: Any, weights: Any, start: Any, end: Any, scale: Any, bias: Any,
        units: Any, unit: Any,
    ) -> None:  # fmt: skip
        """Compute a unit's values: bias + scale × Σ, or its maximum with 0 if rectified; NaN stays NaN."""
        total = _sum(b, lanes, read, which, weights, (start, end), pixels)
        total = _call(b, "fmuladd", total, _splat(b, scale, lanes), _splat(b, bias, lanes))
        if rectified:
            total = b.select(b.fcmp_ordered("<=", total, _every(lanes, 0.0)), _every(lanes, 0.0), total)
        _store(b, total, _row(b, units, unit, lanes))

    return forward


unit_of_pixels, logit_of_pixels = _forward(pixels=True, rectified=True), _forward(pixels=True, rectified=False)
unit_of_units, logit_of_units = _forward(pixels=False, rectified=True), _forward(pixels=False, rectified=False)


@operation
def delta_of_unit(
    b: Builder, lanes: int, deltas: Any, targets: Any, weights: Any, start: Any, end: Any, units: Any, unit: Any
) -> None:
    """Compute the loss's gradient with respect to a hidden unit: 0 where the unit is 0, else from its readers."""
    total = _sum(b, lanes, deltas, targets, weights, (start, end), False)
    off = b.fcmp_ordered("<=", _values(b, units, unit, lanes, False), _every(lanes, 0.0))
    _store(b, b.select(off, _every(lanes, 0.0), total), _row(b, deltas, unit, lanes))


def _dots(b: Builder, lanes: int, delta: Pointer, rows: Sequence[Pointer], pixels: bool) -> list[Vector]:
    """Return products of a gradient row with value rows, summed to 8 lanes. Two sums per row avoid stalls."""
    sums: dict[tuple[int, int], Vector] = {}
    for at in range(0, lanes // 2, 8):
        places = (at, at + lanes // 2) if pixels else (2 * at, 2 * at + 8)
        gradients = [_load(b, _at(b, delta, place), 8) for place in places]
        for row, start in enumerate(rows):
            words = _load(b, _at(b, start, at), 8, INT) if pixels else None
            values = [_load(b, _at(b, start, place), 8) for place in places] if words is None else _halves(b, words)
            for half in (0, 1):
                x, y, before = gradients[half], values[half], sums.get((row, half))
                sums[row, half] = b.fmul(x, y) if before is None else _call(b, "fmuladd", x, y, before)
    return [b.fadd(sums[row, 0], sums[row, 1]) for row in range(len(rows))]


def _totals(b: Builder, sums: Sequence[Vector]) -> Vector:
    """Return the totals of four vectors of 8, added in the order of horizontal-add instructions."""
    evens, odds = (0, 2, 8, 10, 4, 6, 12, 14), (1, 3, 9, 11, 5, 7, 13, 15)
    while len(sums) > 1:
        pairs = zip(sums[::2], sums[1::2], strict=True)
        sums = [b.fadd(_pick(b, x, y, evens), _pick(b, x, y, odds)) for x, y in pairs]
    return b.fadd(_pick(b, sums[0], sums[0], range(4)), _pick(b, sums[0], sums[0], range(4, 8)))


def _gradient(pixels: bool) -> Any:
    @operation
    def gradient(
        b: Builder, lanes: int, read: Any, which: Any, start: Any, end: Any, scale: Any, deltas: Any, unit: Any,
        gradients: Any, more: Any,
    ) -> None:  # fmt: skip
        """Compute gradients of a unit's weights: scale × Σ, added to those of earlier blocks if `more`."""
        delta, width = _row(b, deltas, unit, lanes), lanes // 2 if pixels else lanes

        def write(p: Value, weights: int) -> None:
            rows = [_row(b, read, _index(b, which, b.add(p, _long(each))), width) for each in range(weights)]
            totals = _totals(b, (_dots(b, lanes, delta, rows, pixels) * 4)[:4])
            totals, to = _pick(b, totals, totals, range(weights)), b.gep(gradients, [p])
            before = b.select(more, _load(b, to, weights), _every(weights, 0.0))
            _store(b, _call(b, "fmuladd", totals, _splat(b, scale, weights), before), to)

        fours = b.add(start, b.and_(b.sub(end, start), _long(-4)))
        with cgutils.for_range_slice(b, start, fours, _long(4), LONG) as (p, _):
            write(p, 4)
        with cgutils.for_range_slice(b, fours, end, _long(1), LONG) as (p, _):
            write(p, 1)

    return gradient


gradient_of_pixels, gradient_of_units = _gradient(pixels=True), _gradient(pixels=False)


@operation
def over_lanes(b: Builder, lanes: int, deltas: Any, unit: Any) -> Value:
    """Return a bias's gradient: the sum of a row."""
    row = _row(b, deltas, unit, lanes)
    total = _load(b, row, 16)
    for at in range(16, lanes, 16):
        total = b.fadd(total, _load(b, _at(b, row, at), 16))
    while (half := total.type.count // 2) > 0:
        total = b.fadd(_pick(b, total, total, range(half)), _pick(b, total, total, range(half, 2 * half)))
    return b.extract_element(total, ir.Constant(INT, 0))


@operation
def pack(
    b: Builder, lanes: int, images: Any, width: Any, order: Any, at: Any, lane: Any, pixel: Any, pixels: Any
) -> None:
    """Pack 16 pixels of 8 images, and of their 8 partners half a block further on, into words.

    The images, `width` pixels long, are those of `order` from `at` on; the first of the 8 goes to `lane`.
    """
    lane_of = [each if each < 8 else each - 8 + lanes // 2 for each in range(16)]
    images_of = [_index(b, order, b.add(b.add(at, lane), _long(each))) for each in lane_of]
    rows = [_load(b, _at(b, images, b.add(b.mul(image, width), pixel)), 16, BYTE) for image in images_of]
    for _ in range(4):  # transposes 16 rows of 16 by halves
        woven = [
            _pick(b, rows[each], rows[each + 8], [place + 16 * other for place in part for other in (0, 1)])
            for each in range(8)
            for part in (range(8), range(8, 16))
        ]
        rows = woven
    for each, row in enumerate(rows):
        floats = b.bitcast(b.uitofp(b.zext(row, _vector(16, INT)), _vector(16)), _vector(16, INT))
        lower, upper = (_pick(b, floats, floats, part) for part in (range(8), range(8, 16)))
        words = b.or_(b.lshr(lower, _every(8, 16, INT)), upper)
        _store(b, words, _at(b, _row(b, pixels, b.add(pixel, _long(each)), lanes // 2), lane))


def _exp(b: Builder, x: Vector) -> Vector:
    """Return exp of numbers up to 0, to a float's rounding, and at least exp(-87); NaN for NaN."""
    n = x.type.count
    x = b.select(b.fcmp_ordered("<", x, _every(n, -87.0)), _every(n, -87.0), x)
    known = b.select(b.fcmp_ordered("==", x, x), x, _every(n, 0.0))  # NaN has no integer part
    whole = _call(b, "floor", _call(b, "fmuladd", known, _every(n, 1.44269504), _every(n, 0.5)))
    for part in (-0.693359375, 2.12194440e-4):  # log(2) in two parts
        x = _call(b, "fmuladd", whole, _every(n, part), x)
    power = _every(n, EXPONENTIAL[0])
    for factor in EXPONENTIAL[1:]:
        power = _call(b, "fmuladd", power, x, _every(n, factor))
    exponent = b.shl(b.add(b.fptosi(whole, _vector(n, INT)), _every(n, BIAS, INT)), _every(n, MANTISSA, INT))
    return b.fmul(power, b.bitcast(exponent, _vector(n)))


@operation
def exponentials(b: Builder, lanes: int, logits: Any, first: Any, end: Any, out: Any, tops: Any, totals: Any) -> None:
    """Compute exp(logit - the image's largest) of units `first` to `end` - 1, these maxima, and sums."""
    for at in range(0, lanes, 16):
        top = cgutils.alloca_once_value(b, _load(b, _at(b, _row(b, logits, first, lanes), at), 16))
        with cgutils.for_range_slice(b, first, end, _long(1), LONG) as (unit, _):
            logit, before = _load(b, _at(b, _row(b, logits, unit, lanes), at), 16), b.load(top)
            b.store(b.select(b.fcmp_ordered(">", logit, before), logit, before), top)
        total = cgutils.alloca_once_value(b, _every(16, 0.0))
        with cgutils.for_range_slice(b, first, end, _long(1), LONG) as (unit, _):
            power = _exp(b, b.fsub(_load(b, _at(b, _row(b, logits, unit, lanes), at), 16), b.load(top)))
            _store(b, power, _at(b, _row(b, out, unit, lanes), at))
            b.store(b.fadd(b.load(total), power), total)
        _store(b, b.load(top), _at(b, tops, at))
        _store(b, b.load(total), _at(b, totals, at))


@operation
def scale_lanes(b: Builder, lanes: int, deltas: Any, unit: Any, factors: Any) -> None:
    """Multiply a row by one factor per lane."""
    row = _row(b, deltas, unit, lanes)
    _store(b, b.fmul(_load(b, row, lanes), _load(b, factors, lanes)), row)


@operation
def adam(
    b: Builder, _: int, params: Any, gradients: Any, moments: Any, size: Any, rate: Any, corrections: Any, settings: Any
) -> None:
    """Apply optax.scale_by_adam and scale_by_learning_rate; `size`, the length of params, is a multiple of 16.

    settings: decay and 1 - decay of the first moment, those of the second, ε. corrections: 1 / (1 - decay**step) of
        both.
    """
    decay, share, decay2, share2, epsilon = (_splat(b, b.load(_at(b, settings, each)), 16) for each in range(5))
    correction, correction2 = (_splat(b, b.load(_at(b, corrections, each)), 16) for each in range(2))
    rates = _splat(b, rate, 16)
    with cgutils.for_range_slice(b, _long(0), size, _long(16), LONG) as (at, _):
        weight, first, second = _at(b, params, at), _at(b, moments, at), _at(b, moments, at, size)
        gradient = _load(b, _at(b, gradients, at), 16)
        mean = _call(b, "fmuladd", share, gradient, b.fmul(decay, _load(b, first, 16)))
        square = _call(b, "fmuladd", share2, b.fmul(gradient, gradient), b.fmul(decay2, _load(b, second, 16)))
        _store(b, mean, first)
        _store(b, square, second)
        root = b.fadd(_call(b, "sqrt", b.fmul(square, correction2)), epsilon)
        step = b.fdiv(b.fmul(rates, b.fmul(mean, correction)), root)
        _store(b, b.fsub(_load(b, weight, 16), step), weight)


@operation
def momentum(b: Builder, _: int, params: Any, gradients: Any, traces: Any, size: Any, rate: Any, settings: Any) -> None:
    """Apply optax.add_decayed_weights, then sgd. `size` as in `adam`; settings: momentum, weight decay."""
    kept, decay = (_splat(b, b.load(_at(b, settings, each)), 16) for each in range(2))
    with cgutils.for_range_slice(b, _long(0), size, _long(16), LONG) as (at, _):
        weight, trace = _at(b, params, at), _at(b, traces, at)
        gradient = _call(b, "fmuladd", decay, _load(b, weight, 16), _load(b, _at(b, gradients, at), 16))
        moved = _call(b, "fmuladd", kept, _load(b, trace, 16), gradient)
        _store(b, moved, trace)
        _store(b, b.fsub(_load(b, weight, 16), b.fmul(_splat(b, rate, 16), moved)), weight)
