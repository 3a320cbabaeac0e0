"""Counts: floors of products as one computes them on paper, on the host and compiled."""

import math
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from supermask import counts
from supermask.counts import exact_fraction, share
from supermask.intervals import steps_of
from supermask.learned_masks import LearnedMask, kept_by_layer
from supermask.networks import NETWORKS, kernels_of, shapes_of
from supermask.sparse_training import layer_counts

DECIMALS = st.integers(1, 12).flatmap(
    lambda places: st.integers(0, 10**places).map(lambda n: Decimal(n).scaleb(-places))
)
ALIVE = st.integers(0, 2**31 - 1)

compiled = jax.jit(lambda fraction, alive: share(fraction, alive), static_argnums=0)


@pytest.mark.parametrize(
    ("fraction", "alive", "expected"),
    [
        (0.29, 100, 29),
        (0.1, 30, 3),
        (0.2, 235_200, 47_040),
        (0.99999, 1, 0),
        (1e-5, 100_000, 1),
        (1e-5, 99_999, 0),
        (1 / 3, 3, 1),
        (1 - 0.9, 100, 10),
        (1 - (1 - 0.2) ** 4, 625, 369),
        (1 - 0.99998, 50_000, 1),
        (np.float64(0.29), 100, 29),
        (np.float32(0.29), 100, 29),
        (np.float32(1e-5), 100_000, 1),
        (jnp.float32(0.29), 100, 29),
        *((jnp.bfloat16(tenths / 10), 100, 10 * tenths) for tenths in range(1, 10)),
        (jnp.bfloat16(0.05), 100, 5),
        (jnp.bfloat16(0.99), 100, 99),
        (jnp.bfloat16(1 / 8), 100, 12),
        (np.float16(0.1234), 100_000, 12_340),
        (np.float16(1) / np.float16(300), 100_000, 333),
        (np.float16(1 / 128), 128_000, 1000),
        (np.float32(1) / np.float32(1_234_567), 12_345_670, 10),
        (np.float32(1) / np.float32(300_000), 3_000_000, 10),
        (np.float32(0.7) ** np.float32(20), 2_425_930, 1935),
        (0.9999999999999999, 3700, 3699),
        (0, 7, 0),
        (1, 7, 7),
    ],
)
def test_a_fraction_is_read_as_it_is_written_or_meant(fraction, alive, expected):
    assert share(fraction, alive) == expected
    assert int(share(fraction, jnp.int32(alive))) == expected


@given(DECIMALS, ALIVE)
@example(Decimal("0.99999"), 1)
@example(Decimal("0.00001"), 100_000)
@example(Decimal("0.999999999999"), 2**31 - 1)
def test_the_share_of_a_decimal_is_exact_on_the_host_and_compiled(decimal, alive):
    exact = math.floor(Fraction(decimal) * alive)
    assert share(float(decimal), alive) == exact
    assert int(share(float(decimal), jnp.int32(alive))) == exact


@given(st.integers(0, 46_339), st.integers(1, 46_340), ALIVE)
def test_the_share_of_a_ratio_is_exact(numerator, denominator, alive):
    ratio = Fraction(min(numerator, denominator), denominator)
    assert share(float(ratio), alive) == int(share(float(ratio), jnp.int32(alive))) == math.floor(ratio * alive)


@given(st.fractions(0, 1), ALIVE)
def test_fractions_of_any_denominator_are_exact_in_32_bits(ratio, alive):
    assert int(share(ratio, jnp.int32(alive))) == share(ratio, alive) == math.floor(ratio * alive)


def test_a_traced_number_gives_the_same():
    assert [int(compiled(0.99999, jnp.int32(n))) for n in (1, 100_000)] == [0, 99_999]


@pytest.mark.parametrize("fraction", [-0.1, 1.1, float("nan"), float("inf")])
def test_what_is_no_part_is_refused(fraction):
    with pytest.raises(ValueError, match=r"fraction is .*; allowed: "):
        share(fraction, 10)


@given(DECIMALS)
def test_a_written_decimal_is_that_decimal(decimal):
    assert exact_fraction(float(decimal)) == Fraction(decimal)


def test_every_small_ratio_is_that_ratio():
    """Those whose decimal numbers happen to be short, too: 3/8192 is one, 1/186 = 0.005376344086021506 another."""
    for denominator in range(1, 400):
        for numerator in range(0, denominator, 1 + denominator // 40):
            assert exact_fraction(numerator / denominator) == Fraction(numerator, denominator)


@given(st.integers(1, 999_999))
def test_a_written_decimal_of_six_digits_is_that_decimal_in_single_precision(millionths):
    assert exact_fraction(np.float32(millionths / 1e6)) == Fraction(millionths, 1_000_000)


@pytest.mark.parametrize(("kind", "digits"), [(jnp.bfloat16, 2), (np.float16, 3)])
def test_a_written_decimal_of_few_digits_is_that_decimal_in_half_precision(kind, digits):
    for number in range(1, 10**digits):
        assert exact_fraction(kind(number / 10**digits)) == Fraction(number, 10**digits)


@given(st.fractions(0, 1, max_denominator=300), st.integers(2, 2000))
def test_the_simplest_ratio_is_the_one_of_smallest_denominator(near, part):
    found = counts._simplest(near, Fraction(1, part))
    assert abs(found - near) <= Fraction(1, part)
    for smaller in range(1, found.denominator):
        assert abs(Fraction(round(near * smaller), smaller) - near) > Fraction(1, part)


@pytest.mark.parametrize("decimal", ["0.99998", "0.999983", "0.123457", "0.0200007", "0.4444443"])
def test_a_computed_number_is_the_simplest_ratio_near_it(decimal):
    assert exact_fraction(1 - float(decimal)) == 1 - Fraction(decimal)


def test_steps_are_the_floor_of_the_decimal_epochs():
    assert steps_of(2.28, 3500, 60) == 133
    assert steps_of(55, 55_000, 60) == 50_416
    for tenths in range(1, 2001):
        assert steps_of(tenths / 10, 45_000, 60) == tenths * 45_000 // 600


def test_the_documented_steps_of_the_paper_are_these_and_the_released_codes():
    """It leaves out what remains of an epoch after its last whole batch; here batches go on across epochs."""
    text = (Path(__file__).parents[1] / "docs" / "protocols.md").read_text(encoding="utf-8")
    (row,) = [line for line in text.splitlines() if line.startswith("| part batches |")]
    assert f"{steps_of(55, 55_000, 60):,} steps in 55 epochs of MNIST" in row
    assert f"drops an epoch's last {55_000 % 60} images: {55 * (55_000 // 60):,} steps" in row
    assert f"On CIFAR-10 an epoch is exactly {steps_of(1, 45_000, 60)} batches" in row
    assert 45_000 % 60 == 0


def test_edge_popup_keeps_what_the_decimal_says():
    kernels = {"hidden1": np.zeros((10, 10), np.float32), "output": np.zeros((10, 1), np.float32)}
    kept = kept_by_layer(LearnedMask(method="edge_popup", kept=0.9), kernels)
    assert {layer: int(count) for layer, count in kept.items()} == {"hidden1": 90, "output": 9}


@pytest.mark.parametrize("distribution", ["erk", "uniform"])
@pytest.mark.parametrize("density", ["0.00002", "0.00005", "0.1", "0.99999"])
def test_layers_of_a_density_add_up_to_its_floor(density, distribution):
    shapes = {n: k.shape for n, k in kernels_of(shapes_of(NETWORKS["conv6"], (32, 32, 3))).items()}
    counts = layer_counts(shapes, float(density), distribution)
    assert sum(counts.values()) == math.floor(Fraction(density) * sum(math.prod(shape) for shape in shapes.values()))
    assert all(1 <= counts[layer] <= math.prod(shape) for layer, shape in shapes.items())


def test_rates_are_those_of_each_layers_kind():
    kinds = {"conv1": "conv", "hidden1": "dense", "output": "output"}
    assert counts.Rates(0.3, 0.2, 0.1).by_layer(kinds) == {"conv1": 0.3, "hidden1": 0.2, "output": 0.1}


@pytest.mark.usefixtures("unchecked")
def test_kinds_without_a_rate_of_their_own_have_that_of_convolutions_or_of_dense_layers():
    kinds = {"spread": "depthwise", "memory": "recurrent", "conv1": "conv", "hidden1": "dense"}
    rates = counts.Rates(0.3, 0.2, 0.1)
    assert rates.by_layer(kinds) == {"spread": 0.3, "memory": 0.2, "conv1": 0.3, "hidden1": 0.2}
    own = counts.Rates(0.3, 0.2, 0.1, depthwise=0, recurrent=0.7)
    assert own.by_layer(kinds) == {"spread": 0.0, "memory": 0.7, "conv1": 0.3, "hidden1": 0.2}
    for wrong in ({"recurrent": 1.0}, {"depthwise": -0.1}, {"conv": None}):
        with pytest.raises(ValueError, match=rf"rates.{next(iter(wrong))} is .*; allowed: "):
            counts.Rates(**wrong)


@pytest.mark.parametrize("value", [True, np.bool_(True), np.array([0.5]), np.array([[1, 2]]), "0.5", None, 1j])
def test_only_one_real_number_is_a_number(value):
    with pytest.raises(ValueError, match=r"steps is .*; allowed: a number"):
        counts.own_number("steps", value)
