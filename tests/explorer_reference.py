"""The toolkit's own answers to the explorer's settings: what the page is compared with."""

import hashlib
from functools import cache, partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from supermask import masks
from supermask.actions import KEPT_ACTIONS, PRUNED_ACTIONS, ActionFacts
from supermask.analysis.explorer.bundle import IMAGES, LEVELS, SeedRun
from supermask.analysis.studies.protocols import PAPER
from supermask.bits import pack
from supermask.criteria import CRITERIA, OTHER_READINGS
from supermask.datasets import Dataset
from supermask.keys import Purpose, derive_key
from supermask.networks import Network, kernels_of, layer_kinds, logits, with_kernels
from supermask.restarts import scores_of

# The criteria that need no more than the weights of before and after training.
SHOWN = tuple(name for name, each in CRITERIA.items() if "gradient" not in each.needs and each not in OTHER_READINGS)
KEPT = {
    ("initial", True): "rewind",
    ("constant", True): "constant_same_sign",
    ("constant", False): "constant",
    ("fresh", True): "reinit_same_sign",
    ("fresh", False): "reinit",
    ("reshuffled", True): "reshuffle_same_sign",
    ("reshuffled", False): "reshuffle",
}
PRUNED = {"zero": "zero", "initial": "init"}

Setting = dict[str, Any]
Masks = dict[str, np.ndarray]


def setting(**changed: Any) -> Setting:
    """A setting of the page as JSON, with defaults."""
    default = {
        "seed": 0,
        "source": "criterion",
        "criterion": "large_final_same_sign",
        "level": 24,
        "round": 0,
        "region": None,
        "kept": "constant",
        "signs": True,
        "pruned": "zero",
        "flipped": [False, False, False],
    }
    assert set(changed) <= set(default)
    return default | changed


class Reference:
    """Masks and outputs by the toolkit's functions alone."""

    def __init__(self, data: Dataset, network: Network, runs: list[SeedRun]) -> None:
        self.runs, self.network, self.layers = runs, network, list(kernels_of(runs[0].initial))
        self.labels = data.test.labels[:IMAGES]
        self.images = jnp.asarray(data.test.images[:IMAGES]).astype(jnp.float32) / data.maximum
        kernels = kernels_of(runs[0].initial)
        rates = PAPER["fc"].rates.by_layer(layer_kinds(kernels))
        self.counts = masks.kept_counts({layer: k.size for layer, k in kernels.items()}, rates, LEVELS)
        self.ranks = cache(self._ranks)
        self.level_masks = cache(self._level_masks)

    def _ranks(self, seed: int, criterion: str) -> Masks:
        run = self.runs[seed]
        initial = kernels_of(run.initial)
        full = masks.full_masks(initial)
        scores = scores_of(CRITERIA[criterion], initial, kernels_of(run.final), full, None)
        ranked = masks.rank_layers(derive_key(run.seed, Purpose.TIES), scores, full)
        return {layer: np.asarray(places) for layer, places in ranked.items()}

    def masks(self, given: Setting) -> Masks:
        """The masks of a setting: a criterion's at a whole step, or a round's."""
        if given["source"] == "round":
            last = self.runs[given["seed"]].last_round
            return {layer: last[layer] >= given["round"] for layer in self.layers}
        level, rest = divmod(given["level"], 4)
        assert rest == 0, "only whole steps are the toolkit's"
        return self.level_masks(given["seed"], given["criterion"], level)

    def _level_masks(self, seed: int, criterion: str, level: int) -> Masks:
        chosen = masks.one_shot(self.ranks(seed, criterion), self.counts[level])
        return {layer: np.asarray(mask) for layer, mask in chosen.items()}

    def trained_accuracy(self, seed: int) -> float:
        """Accuracy on the shown images of a seed's network at the end of its training."""
        found = np.asarray(logits(self.network, self.runs[seed].final, self.images)).argmax(axis=1)
        return float((found == self.labels).mean())

    def outputs(self, given: Setting, chosen: list[Masks]) -> np.ndarray:
        """Logits under each of the masks: (masks, images, classes)."""
        run, other = self.runs[given["seed"]], self.runs[(given["seed"] + 1) % len(self.runs)]
        stacked = {layer: jnp.asarray(np.stack([each[layer] for each in chosen])) for layer in self.layers}
        names = KEPT[given["kept"], given["signs"] or given["kept"] == "initial"], PRUNED[given["pruned"]]
        key = derive_key(run.seed, Purpose.KEPT_VALUES)
        weights = [kernels_of(params) for params in (run.initial, run.final, other.initial)]
        flipped = jnp.asarray(given["flipped"])
        return np.asarray(_outputs(self.network, names, run.initial, self.images, weights, key, flipped, stacked))


@partial(jax.jit, static_argnums=(0, 1))
def _outputs(network, names, initial, images, weights, key, flipped, stacked):  # type: ignore[no-untyped-def]
    kept, pruned = KEPT_ACTIONS[names[0]], PRUNED_ACTIONS[names[1]]

    def one(chosen: dict[str, jax.Array]) -> jax.Array:
        kernels = {}
        for index, layer in enumerate(sorted(chosen)):
            arrays = (jnp.asarray(tree[layer]) for tree in weights)
            everything = jnp.ones(chosen[layer].shape, bool)
            facts = ActionFacts(jax.random.fold_in(key, index), *arrays, chosen[layer], everything, ~everything)
            kernel = jnp.where(chosen[layer], kept(facts), pruned(facts))
            kernels[layer] = jnp.where(flipped[index], -kernel, kernel)
        return logits(network, with_kernels(initial, kernels), images)

    return jax.lax.map(one, stacked)


def digests(chosen: Masks) -> list[str]:
    """SHA-256 of every layer's packed mask."""
    return [hashlib.sha256(pack(mask).tobytes()).hexdigest() for mask in chosen.values()]


def readings(outputs: np.ndarray) -> np.ndarray:
    """The class of the largest output; the first of those that are within 2⁻¹⁸ of the largest of all from it.

    Few constants in a sparse network leave many outputs that are equal but for rounding. The page sums in float64, the
    toolkit in float32, each in its own order, so both need a rule for what counts as equal.
    """
    near = np.abs(outputs).max() * np.float32(2.0**-18)
    return (outputs >= outputs.max(axis=1, keepdims=True) - near).argmax(axis=1)


def read_otherwise(found: np.ndarray, outputs: np.ndarray) -> int:
    """In how many images the page finds another class than the toolkit."""
    return int((found != readings(outputs)).sum())
