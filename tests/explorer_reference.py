"""The toolkit's own answers to the explorer's settings: what the page is compared with."""

import hashlib
from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from analysis.explorer.bundle import IMAGES, LEVELS, SeedRun
from analysis.protocols import PAPER
from supermask import masks
from supermask.actions import KEPT_ACTIONS, PRUNED_ACTIONS, ActionFacts
from supermask.criteria import CRITERIA, score_layers_jit
from supermask.datasets import Dataset
from supermask.keys import Purpose, derive_key
from supermask.lottery import facts_of
from supermask.networks import Network, kernels_of, layer_kinds, logits, with_kernels

# The criteria that need no more than the weights of before and after training.
SHOWN = tuple(
    name for name, each in CRITERIA.items() if "gradient" not in each.needs and not name.endswith("_percentile")
)
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
    """Masks and predictions by the toolkit's functions alone."""

    def __init__(self, data: Dataset, network: Network, runs: list[SeedRun]) -> None:
        self.runs, self.layers = runs, list(kernels_of(runs[0].initial))
        self._images = jnp.asarray(data.test.images[:IMAGES]).astype(jnp.float32) / data.maximum
        self._predict = jax.jit(lambda params: jnp.argmax(logits(network, params, self._images), axis=-1))
        kernels = kernels_of(runs[0].initial)
        rates = PAPER["fc"].rates.by_layer(layer_kinds(kernels))
        self.counts = masks.kept_counts({layer: k.size for layer, k in kernels.items()}, rates, LEVELS)
        self.ranks = cache(self.ranks)  # type: ignore[method-assign]

    def ranks(self, seed: int, criterion: str) -> dict[str, np.ndarray]:
        """One ranking a layer."""
        run = self.runs[seed]
        initial = kernels_of(run.initial)
        full = masks.full_masks(initial)
        scores = score_layers_jit(CRITERIA[criterion], facts_of(initial, kernels_of(run.final), full, None))
        ranked = masks.rank_layers(derive_key(run.seed, Purpose.TIES), scores, full)
        return {layer: np.asarray(places) for layer, places in ranked.items()}

    def masks(self, given: Setting) -> dict[str, np.ndarray]:
        """The masks of a setting at a whole step of its criterion's levels, or of a round."""
        if given["source"] == "round":
            last = self.runs[given["seed"]].last_round
            return {layer: last[layer] >= given["round"] for layer in self.layers}
        level, rest = divmod(given["level"], 4)
        assert rest == 0
        return masks.one_shot(self.ranks(given["seed"], given["criterion"]), self.counts[level])  # type: ignore[return-value]

    def found(self, given: Setting, chosen: dict[str, np.ndarray]) -> np.ndarray:
        """The class predicted for every image."""
        run, other = self.runs[given["seed"]], self.runs[(given["seed"] + 1) % len(self.runs)]
        kept = KEPT_ACTIONS[KEPT[given["kept"], given["signs"] or given["kept"] == "initial"]]
        pruned = PRUNED_ACTIONS[PRUNED[given["pruned"]]]
        key = derive_key(run.seed, Purpose.KEPT_VALUES)
        kernels = {}
        for index, layer in enumerate(sorted(self.layers)):
            facts = ActionFacts(
                jax.random.fold_in(key, index),
                *(jnp.asarray(params[layer]["kernel"]) for params in (run.initial, run.final, other.initial)),
                jnp.asarray(chosen[layer]),
            )
            kernel = np.where(chosen[layer], kept(facts), pruned(facts))
            kernels[layer] = -kernel if given["flipped"][index] else kernel
        return np.asarray(self._predict(with_kernels(run.initial, kernels)))


def digests(chosen: dict[str, np.ndarray]) -> list[str]:
    """SHA-256 of every layer's packed mask."""
    return [hashlib.sha256(masks.pack(mask).tobytes()).hexdigest() for mask in chosen.values()]
