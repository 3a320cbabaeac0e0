"""supermask: masks, signs and supermasks of lottery tickets, in JAX.

    import supermask as sm

    masks = sm.prune(key, initial, final, sm.large_final, fraction=0.2)
    params = sm.restart(key, initial, final, masks)
    optimiser = sm.freeze(optax.adamw(1e-3), masks)

Parameters are any pytree. What is not named here is in the modules: see docs/library.md. Names are loaded when they are
asked for: `import supermask` alone takes no time.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from supermask.actions import constant as constant
    from supermask.actions import constant_same_sign as constant_same_sign
    from supermask.actions import init as init
    from supermask.actions import reinit as reinit
    from supermask.actions import reinit_same_sign as reinit_same_sign
    from supermask.actions import reshuffle as reshuffle
    from supermask.actions import reshuffle_same_sign as reshuffle_same_sign
    from supermask.actions import rewind as rewind
    from supermask.actions import trained as trained
    from supermask.actions import zero as zero
    from supermask.actions import zero_if_grown as zero_if_grown
    from supermask.actions import zero_if_shrunk as zero_if_shrunk
    from supermask.at_initialisation import grasp_scores as grasp_scores
    from supermask.at_initialisation import prune_at_initialisation as prune_at_initialisation
    from supermask.at_initialisation import snip_scores as snip_scores
    from supermask.at_initialisation import synflow_scores as synflow_scores
    from supermask.augmentation import Augmentation as Augmentation
    from supermask.connectivity import error_barrier as error_barrier
    from supermask.connectivity import on_line as on_line
    from supermask.controls import inverted as inverted
    from supermask.controls import shuffled as shuffled
    from supermask.criteria import grad as grad
    from supermask.criteria import large_final as large_final
    from supermask.criteria import large_final_diff_sign as large_final_diff_sign
    from supermask.criteria import large_final_same_sign as large_final_same_sign
    from supermask.criteria import large_init as large_init
    from supermask.criteria import large_init_large_final as large_init_large_final
    from supermask.criteria import magnitude_increase as magnitude_increase
    from supermask.criteria import magnitude_increase_diff_sign as magnitude_increase_diff_sign
    from supermask.criteria import magnitude_increase_same_sign as magnitude_increase_same_sign
    from supermask.criteria import movement as movement
    from supermask.criteria import power as power
    from supermask.criteria import random as random
    from supermask.criteria import small_final as small_final
    from supermask.criteria import small_init as small_init
    from supermask.criteria import small_init_small_final as small_init_small_final
    from supermask.criteria import snip as snip
    from supermask.exporting import export as export
    from supermask.mask_files import load_masks as load_masks
    from supermask.mask_files import read_masks as read_masks
    from supermask.mask_files import save_masks as save_masks
    from supermask.mask_learning import MaskLearner as MaskLearner
    from supermask.mask_learning import learn_mask as learn_mask
    from supermask.matching import match_units as match_units
    from supermask.matching import permute_units as permute_units
    from supermask.network_criteria import grasp as grasp
    from supermask.network_criteria import iterative_snip as iterative_snip
    from supermask.network_criteria import iterative_synflow as iterative_synflow
    from supermask.network_criteria import softened_grasp as softened_grasp
    from supermask.network_criteria import synflow as synflow
    from supermask.network_facts import NetworkFacts as NetworkFacts
    from supermask.permuted_tasks import PermutedTask as PermutedTask
    from supermask.permuted_tasks import onto_data as onto_data
    from supermask.permuted_tasks import onto_task as onto_task
    from supermask.permuted_tasks import permute_data as permute_data
    from supermask.permuted_tasks import permuted_task as permuted_task
    from supermask.pruning import agreement as agreement
    from supermask.pruning import apply_masks as apply_masks
    from supermask.pruning import freeze as freeze
    from supermask.pruning import prune as prune
    from supermask.pruning import restart as restart
    from supermask.pruning import summary as summary
    from supermask.recipe import Recipe as Recipe
    from supermask.sign_flips import FlipCounts as FlipCounts
    from supermask.sign_flips import SignFlips as SignFlips
    from supermask.sign_flips import flip_counts as flip_counts
    from supermask.sign_flips import flip_numbers as flip_numbers
    from supermask.sign_flips import flips_by_distance as flips_by_distance
    from supermask.sign_flips import flips_of as flips_of
    from supermask.sign_flips import record_flips as record_flips
    from supermask.sign_flips import recording_flips as recording_flips
    from supermask.sign_flips import watch_signs as watch_signs
    from supermask.sparse_training.as_optimiser import masks_of as masks_of
    from supermask.sparse_training.optimisers import deep_r as deep_r
    from supermask.sparse_training.optimisers import dnw as dnw
    from supermask.sparse_training.optimisers import dsr as dsr
    from supermask.sparse_training.optimisers import magnitude_pruning as magnitude_pruning
    from supermask.sparse_training.optimisers import rigl as rigl
    from supermask.sparse_training.optimisers import set_training as set_training
    from supermask.sparse_training.optimisers import sparse_momentum as sparse_momentum
    from supermask.sparse_training.optimisers import static as static
    from supermask.superposition import Superposition as Superposition
    from supermask.superposition import infer_task as infer_task
    from supermask.superposition import superpose as superpose
    from supermask.tails import Tail as Tail
    from supermask.tails import geometric_tail as geometric_tail
    from supermask.ticket_rounds import Tickets as Tickets
    from supermask.ticket_rounds import TrainingResult as TrainingResult
    from supermask.ticket_rounds import lottery_rounds as lottery_rounds
    from supermask.treatments import Treatment as Treatment
    from supermask.treatments import treatment as treatment

_NAMES = {
    "actions": "constant constant_same_sign init reinit reinit_same_sign reshuffle reshuffle_same_sign rewind trained "
    "zero zero_if_grown zero_if_shrunk",
    "at_initialisation": "grasp_scores prune_at_initialisation snip_scores synflow_scores",
    "augmentation": "Augmentation",
    "connectivity": "error_barrier on_line",
    "controls": "inverted shuffled",
    "criteria": "grad large_final large_final_diff_sign large_final_same_sign large_init large_init_large_final "
    "magnitude_increase magnitude_increase_diff_sign magnitude_increase_same_sign movement power random small_final "
    "small_init small_init_small_final snip",
    "mask_learning": "MaskLearner learn_mask",
    "exporting": "export",
    "mask_files": "load_masks read_masks save_masks",
    "matching": "match_units permute_units",
    "network_criteria": "grasp iterative_snip iterative_synflow softened_grasp synflow",
    "network_facts": "NetworkFacts",
    "permuted_tasks": "PermutedTask onto_data onto_task permute_data permuted_task",
    "pruning": "agreement apply_masks freeze prune restart summary",
    "recipe": "Recipe",
    "sign_flips": "FlipCounts SignFlips flip_counts flip_numbers flips_by_distance flips_of record_flips "
    "recording_flips watch_signs",
    "sparse_training.as_optimiser": "masks_of",
    "sparse_training.optimisers": "deep_r dnw dsr magnitude_pruning rigl set_training sparse_momentum static",
    "tails": "Tail geometric_tail",
    "superposition": "Superposition infer_task superpose",
    "ticket_rounds": "Tickets TrainingResult lottery_rounds",
    "treatments": "Treatment treatment",
}
_MODULE_OF = {name: module for module, names in _NAMES.items() for name in names.split()}

__all__ = sorted(_MODULE_OF)


_MODULES = (
    "actions",
    "criteria",
    "datasets",
    "learned_masks",
    "lottery",
    "masks",
    "networks",
    "population",
    "training",
)


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return import_module(f"supermask.{name}")
    if name not in _MODULE_OF:
        raise AttributeError(f"module 'supermask' has no attribute {name!r}")
    return getattr(import_module(f"supermask.{_MODULE_OF[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
