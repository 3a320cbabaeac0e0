"""Pruning rates as a user gives them: 'dense=0.2,output=0.1', for kinds of layers that the network has."""

from collections.abc import Iterable

from supermask.analysis.system.errors import UsageError, choose
from supermask.analysis.system.words import number_of
from supermask.counts import LAYER_KINDS
from supermask.model import Network


def check_rates(rates: Iterable[str], name: str, network: Network, image_shape: tuple[int, int, int]) -> None:
    """Raise UsageError for the rate of a kind of which a network has no layers; `name` is what the error calls it.

    'dense' and 'output' pass: the former is the rate of a global ranking, and of recurrent layers by default.
    """
    words = {"conv": "convolutions", "depthwise": "depthwise ones that are pruned", "recurrent": "recurrent layers"}
    asked = [kind for kind in rates if kind in words]
    if not asked or (asked == ["conv"] and network.convolutional):
        return
    kinds = set(network.layer_kinds(image_shape).values())
    for kind in asked:
        if kind not in kinds:
            allowed = ", ".join(each for each in LAYER_KINDS if each in {"dense", "output", *kinds})
            raise UsageError(f"rates has {kind}, and {name} has no {words[kind]}; allowed: {allowed}")


def check_ranking(ranking: str, rates: Iterable[str]) -> None:
    """Raise UsageError for rates that a global ranking, which has one rate for all, would ignore."""
    if ranking == "global" and (others := [kind for kind in rates if kind != "dense"]):
        raise UsageError(f"rates has {others[0]}, and ranking is global, with one rate for all layers; allowed: dense")


def parse_rates(text: str) -> dict[str, float]:
    """Parse rates such as 'dense=0.2,output=0.1'. Raises UsageError for any other text."""
    rates: dict[str, float] = {}
    for part in text.split(","):
        kind, _, value = part.partition("=")
        kind = choose("rates", kind.strip(), LAYER_KINDS)
        if kind in rates:
            raise UsageError(f"rates has {kind} twice; allowed: once")
        if (rate := number_of(value)) is None:
            raise UsageError(f"rates has {part!r}; it should read like {kind}=0.2")
        rates[kind] = rate
    return rates
