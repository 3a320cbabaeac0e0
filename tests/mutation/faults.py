"""Faults written by hand: slips that a person might make, each in one line or two of the science.

A fault whose old text is not in its module exactly once stops the run: write it anew when the code has changed.
"""

from typing import NamedTuple


class Fault(NamedTuple):
    """What is wrong, in words; the module; and the text that is replaced, and by what."""

    name: str
    module: str
    old: str
    new: str


FAULTS = (
    Fault(
        "ceil for floor",
        "supermask.counts",
        "return int(alive) * ratio.numerator // ratio.denominator",
        "return -(-int(alive) * ratio.numerator // ratio.denominator)",
    ),
    Fault(
        "ties by position",
        "supermask.masks",
        "jax.random.bits(key, flat.shape, jnp.uint32), tied",
        "jnp.zeros(flat.shape, jnp.uint32), tied",
    ),
    Fault(
        "signs with >=",
        "supermask.criteria",
        "jnp.sign(w_initial) * jnp.sign(w_final) > 0",
        "jnp.sign(w_initial) * jnp.sign(w_final) >= 0",
    ),
    Fault(
        "α upside down",
        "supermask.criteria",
        "spread_initial / jnp.where(usable, spread_final, 1.0)",
        "spread_final / jnp.where(usable, spread_initial, 1.0)",
    ),
    Fault(
        "masks that zero what is frozen",
        "supermask.params",
        "jnp.where(masks[layer], leaf, params[layer][name])",
        "jnp.where(masks[layer], leaf, 0.0)",
    ),
    Fault(
        "early stop by accuracy",
        "supermask.descent",
        "better = scores.loss < state.best_validation.loss",
        "better = scores.accuracy > state.best_validation.accuracy",
    ),
    Fault(
        "one level shown for all of them",
        "supermask.analysis.drawing.claims",
        "elif shown == len(p_values):",
        "elif shown:",
    ),
    Fault(
        "two-sided for one-sided",
        "supermask.analysis.drawing.claims",
        "special.stdtr(len(differences) - 1, -differences.mean() / error)",
        "2 * special.stdtr(len(differences) - 1, -abs(differences.mean()) / error)",
    ),
    Fault(
        "diverged trainings as a difference of 0",
        "supermask.analysis.drawing.claims",
        "Pairs(differences[finite], ",
        "Pairs(np.nan_to_num(differences), ",
    ),
    Fault(
        "DSR's threshold the wrong way round",
        "supermask.sparse_training.dsr",
        "jnp.where(pruned > 1.1 * aim, 0.5, jnp.where(pruned < 0.9 * aim, 2.0, 1.0))",
        "jnp.where(pruned > 1.1 * aim, 2.0, jnp.where(pruned < 0.9 * aim, 0.5, 1.0))",
    ),
    Fault("a digest that is never checked", "supermask.analysis.store.store", "if found != expected:", "if False:"),
    Fault(
        "records that are never checked",
        "supermask.analysis.store.store",
        "parts, made_with = record.parts(), record.origin()",
        "parts, made_with = (json.loads(record.description), {}), json.loads(record.made_with)",
    ),
    Fault(
        "one-shot masks from the round's own weights",
        "supermask.restarts",
        "end = End(full_masks(origin.trained), origin.trained, {}, origin.ended)",
        "end = end._replace(masks=full_masks(origin.trained), zeroed={})",
    ),
    Fault(
        "momentum dealt out by its sum",
        "supermask.sparse_training.sparse_momentum",
        "/ jnp.maximum(jnp.sum(masks[n]), 1) for n in layers",
        "/ 1 for n in layers",
    ),
    Fault(
        "weights that stayed count as shrunk",
        "supermask.actions",
        "return jnp.abs(w_final) < jnp.abs(w_initial)",
        "return jnp.abs(w_final) <= jnp.abs(w_initial)",
    ),
    Fault(
        "reshuffled with the pruned",
        "supermask.actions",
        "jnp.lexsort((jax.random.bits(key, (size,), jnp.uint32), ~kept))",
        "jnp.argsort(jax.random.bits(key, (size,), jnp.uint32))",
    ),
    Fault(
        "rewound to the initial weights, whatever the step",
        "supermask.restarts",
        "before = (kernels_of(origin.rewind), final, fresh, masks, zeroed)",
        "before = (initial, final, fresh, masks, zeroed)",
    ),
    Fault(
        "the output layer pruned like the others",
        "supermask.counts",
        "own = getattr(self, kind)",
        'own = getattr(self, "dense" if kind == "output" else kind)',
    ),
    Fault(
        "edge-popup by signed scores",
        "supermask.mask_logits",
        "keep_best(key, jnp.abs(scores), jnp.ones(scores.shape, bool), limits[layer])",
        "keep_best(key, scores, jnp.ones(scores.shape, bool), limits[layer])",
    ),
)
"""All of them, in no order."""
