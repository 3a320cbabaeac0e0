"""Lottery tickets by anyone's training function: rounds of training, pruning and restarting, stored and resumed.

    def train(params, masks, seed):  # yours: any framework, loss, data and batch statistics
        ...
        return final_params, {"accuracy": 0.97}

    found = lottery_rounds(train, initialise, [treatment(movement)], rounds=5, seeds=range(3), folder="tickets")
    found.frame()

Nothing is assumed of the parameters but that they are a pytree of arrays. Pruning and restarting are `supermask.prune`
and `supermask.restart`. Frankle & Carbin 2019 (arXiv 1803.03635), section 2; Zhou et al. 2019 (arXiv 1905.01067).
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PyTree

from supermask.checks import check_names, check_whole
from supermask.code_digest import code_digest
from supermask.counts import Number, check_fractions
from supermask.extras import missing
from supermask.keys import Purpose, derive_key
from supermask.masks import weights_remaining
from supermask.network_facts import Loss, Outputs
from supermask.own_code import UndigestedError
from supermask.pruning import prune, restart, zeros_matter
from supermask.round_checks import check_final, checked, metrics_of, outcome_of
from supermask.ticket_files import Stored, check_stored, digest_of, id_of, read, write
from supermask.treatments import Treatment
from supermask.trees import Leaves, MaskTree, Where, flattened, leaves_of, masked_leaves, present, structure_of

if TYPE_CHECKING:
    import pandas as pd

Train = Callable[[PyTree, MaskTree, int], tuple[PyTree, Mapping[str, float]]]
"""(params, masks, seed) -> (final parameters, metrics). Pruned weights must end as they started: see `freeze`."""


@dataclass(frozen=True)
class TrainingResult:
    """One training of a round: what made it, its metrics, and the id under which it is stored.

    weights_remaining: the fraction of prunable weights that is kept.
    trained: whether this call trained it, rather than finding it stored.
    """

    treatment: Treatment
    seed: int
    round: int
    weights_remaining: float
    metrics: Mapping[str, float]
    id: str
    trained: bool


@dataclass(frozen=True)
class Tickets:
    """All results of `lottery_rounds`, in order of seeds, treatments and rounds."""

    results: tuple[TrainingResult, ...]
    folder: Path

    def frame(self) -> "pd.DataFrame":
        """Return a tidy table with a row for each treatment, seed and round, in `COLUMNS`, then metrics, then `id`.

        Round 0, whose training all treatments of a seed share, has a row for each of them: no criterion is missing.
        """
        try:
            import pandas as pd
        except ModuleNotFoundError as error:
            raise missing(error, "command") from None

        def row(each: TrainingResult) -> dict[str, Any]:
            one = each.treatment
            names = {"criterion": one.criterion.name, "kept": one.kept.name, "pruned": one.pruned.name}
            place = {"ranking": one.ranking, "seed": each.seed, "round": each.round}
            return names | place | {"weights_remaining": each.weights_remaining} | dict(each.metrics) | {"id": each.id}

        return pd.DataFrame([row(each) for each in self.results])

    def load(self, result: TrainingResult, params: PyTree) -> tuple[PyTree, MaskTree]:
        """Return the final parameters and the masks of a result, in the structure of `params`.

        Raises ValueError where they do not fit, and where the file is damaged or gone.
        """
        stored = read(self.folder, result.id)
        if stored is None:
            raise ValueError(f"folder {str(self.folder)!r} has no training {result.id}; allowed: one of its results")
        if other := _arrays(params).keys() ^ stored.final.keys():
            raise ValueError(f"params and the training differ in {min(other)}; allowed: parameters of the same leaves")
        leaves = leaves_of(params, lambda path, leaf: path in stored.masks)
        return leaves.with_chosen(stored.final), leaves.as_masks(stored.masks)


def lottery_rounds(
    train: Train,
    initialise: Callable[[int], PyTree],
    treatments: Sequence[Treatment] = (Treatment(),),
    *,
    rounds: int,
    seeds: Iterable[int | np.integer] = (0,),
    folder: str | Path,
    fraction: Number | Mapping[str, Number] = 0.2,
    where: Where | None = None,
    gradient: Callable[[PyTree, int], PyTree] | None = None,
    loss: Callable[[PyTree, int], Any] | None = None,
    outputs: Outputs | None = None,
    version: str = "",
    on_result: Callable[[TrainingResult], None] = lambda result: None,
) -> Tickets:
    """Find lottery tickets: train, prune, restart, and train again, for every treatment and seed.

    train: (params, masks, seed) -> (final parameters, metrics). The masks have a boolean array for each prunable leaf,
        all True in round 0, and None for the others; pruned weights must end as they started (`freeze` sees to it).
        NumPy arrays are given where `initialise` returns NumPy arrays.
    initialise: seed -> initial parameters, a pytree of arrays. Actions that draw anew call it with other seeds.
    treatments: see `treatment`. Round 0, before any pruning, is trained once for all of them.
    rounds: of pruning, after round 0.
    fraction: of the live weights, pruned after each round, exactly: of each layer, or by path; with ranking 'global',
        of all.
    folder: where each training is stored as it ends. What is stored there is not trained again: after an interruption,
        call it again. A training is found by the code of `train` and all that it reads, by the initial parameters, and
        by all that led to its start; when one of these changes, it is trained anew.
    where: which leaves are pruned, by path and leaf; by default those of `supermask.prune`.
    gradient: (initial parameters, seed) -> the loss's gradient there, for criteria that ask for it; or give the loss.
    loss: (parameters, seed) -> the training loss, for criteria that ask for it, or for a gradient.
    outputs: (parameters) -> outputs on inputs that are all 1, for criteria that ask for them.
    version: identifies `train` in place of its code, where that cannot be read; change it with the code.
    on_result: called with each result, as it is found or trained.

    Raises ValueError for arguments that are not allowed, before anything is trained; for code that cannot be told from
    changed code, without a `version`; and where `train` returns other leaves or shapes, moves pruned weights, or
    returns metrics that are no numbers.
    """
    chosen, every = checked(treatments, seeds)
    last = check_whole("rounds", rounds, 0)
    parts = [check_fractions(fraction, each.ranking) for each in chosen]
    for each in chosen:
        if gradient is None and loss is None and "gradient" in each.criterion.needs:
            raise ValueError(f"criterion {each.criterion.name} needs gradient; allowed with gradient=... or loss=...")
    asked = _Asked(gradient, loss, outputs)
    loop = _Loop(train, initialise, parts[0], Path(folder), where, asked, _identity(train, version))
    results = []
    for result in (each for seed in every for each in loop.of_seed(seed, chosen, last)):
        on_result(result)
        results.append(result)
    return Tickets(tuple(results), Path(folder))


@dataclass(frozen=True)
class _Ended:
    """A training that ended: its id and masks, the parameters that it started from, and the final ones."""

    id: str
    masks: MaskTree
    start: PyTree
    final: PyTree
    metrics: Mapping[str, float]
    trained: bool


@dataclass(frozen=True)
class _Asked:
    """The user's functions that criteria may ask for."""

    gradient: Callable[[PyTree, int], PyTree] | None
    loss: Callable[[PyTree, int], Any] | None
    outputs: Outputs | None

    def loss_of(self, seed: int) -> Loss | None:
        """Return the loss as a function of parameters alone."""
        loss = self.loss
        return None if loss is None else lambda params: loss(params, seed)

    def gradient_of(self, seed: int, initial: PyTree) -> PyTree:
        """Return the gradient at the initial parameters."""
        if self.gradient is not None:
            return self.gradient(initial, seed)
        loss = self.loss_of(seed)
        return None if loss is None else jax.grad(loss)(initial)


@dataclass(frozen=True)
class _Loop:
    """The rounds of one training function."""

    train: Train
    initialise: Callable[[int], PyTree]
    fraction: float | Mapping[str, float]
    folder: Path
    where: Where | None
    asked: _Asked
    code: str

    def of_seed(self, seed: int, treatments: Sequence[Treatment], rounds: int) -> Iterator[TrainingResult]:
        """Yield all results of a seed. Trainings that treatments share are done once."""
        initial = _own(self.initialise(seed))
        leaves = leaves_of(initial, self.where)
        for path, leaf in _arrays(initial).items():
            check_stored(path, leaf)
        dense = leaves.as_masks({path: np.ones(leaves.all[path].shape, bool) for path in leaves.prunable})
        if isinstance(self.fraction, Mapping):
            check_names("fraction", self.fraction, leaves.prunable)
        described = {"code": self.code, "seed": seed, "initial": digest_of(_arrays(initial)), "pruned": leaves.prunable}
        first = self._ended(described | {"round": 0}, initial, dense, seed)
        for one in treatments:
            ended = first
            yield self._result(one, seed, 0, ended)
            for round_ in range(1, rounds + 1):
                ended = self._next(one, seed, round_, initial, ended)
                yield self._result(one, seed, round_, ended)

    def _next(self, one: Treatment, seed: int, round_: int, initial: PyTree, before: _Ended) -> _Ended:
        """Train after one more pruning."""
        fresh = self.initialise(_fresh_seed(seed, round_)) if "w_fresh" in one.kept.needs else None
        ties, values = (derive_key(seed, purpose, round_) for purpose in (Purpose.TIES, Purpose.KEPT_VALUES))
        slope = self.asked.gradient_of(seed, _own(initial)) if "gradient" in one.criterion.needs else None
        ranking: Any = one.ranking
        masks = prune(
            ties,
            initial,
            before.final,
            one.criterion,
            fraction=self.fraction,
            masks=before.masks,
            gradient=slope,
            loss=self.asked.loss_of(seed),
            outputs=self.asked.outputs,
            ranking=ranking,
        )
        begun = restart(
            values,
            initial,
            before.final,
            masks,
            kept=one.kept,
            pruned=one.pruned,
            before=before.masks,
            start=before.start,
            fresh=fresh,
        )
        own = {part: [(member := getattr(one, part)).name, member.source] for part in ("criterion", "kept", "pruned")}
        fractions = self.fraction if isinstance(self.fraction, float | int) else dict(sorted(self.fraction.items()))
        rest = {"round": round_, "after": before.id, "ranking": one.ranking, "fraction": fractions}
        if round_ > 1 and zeros_matter(one.kept, one.pruned):
            rest["revision"] = 2  # where the round before started weights at 0 was once left out
        asked = {"fresh": fresh, "gradient": slope, "masks": masks if one.criterion.is_of_network else None}
        new = {name: digest_of(_arrays(tree)) for name, tree in asked.items() if tree is not None}
        return self._ended(own | rest | new, _like(begun, initial), masks, seed)

    def _ended(self, description: Mapping[str, Any], params: PyTree, masks: MaskTree, seed: int) -> _Ended:
        """Return the stored training, or train now and store it."""
        training = id_of(description)
        leaves, by_path = masked_leaves(params, masks)
        stored = read(self.folder, training)
        if stored is not None:
            final = _like(leaves.with_chosen(stored.final), params)
            return _Ended(training, masks, params, final, stored.about["metrics"], trained=False)
        returned, metrics = outcome_of(self.train(_own(params), _like(masks, params), seed))
        check_final(leaves, by_path, returned)
        final = _like(returned, params)
        numbers = metrics_of(metrics)
        kept = {path: np.asarray(mask) for path, mask in by_path.items()}
        about = {"description": description, "metrics": numbers}
        write(self.folder, training, Stored(_arrays(final), kept, about))
        return _Ended(training, masks, params, final, numbers, trained=True)

    def _result(self, one: Treatment, seed: int, round_: int, ended: _Ended) -> TrainingResult:
        remaining = weights_remaining(present(ended.masks))
        return TrainingResult(one, seed, round_, remaining, ended.metrics, ended.id, ended.trained)


def _identity(train: Train, version: str) -> str:
    """Return the identity of a training function. Raises ValueError if its code cannot be read."""
    if version:
        return f"version {version}"
    try:
        return code_digest(train)
    except UndigestedError as error:
        allowed = "allowed with version=..., and another one whenever the code changes"
        raise ValueError(f"train cannot be told from changed code: {error}; {allowed}") from None


def _fresh_seed(seed: int, round_: int) -> int:
    """Return the seed of a round's new draw, of 31 bits."""
    return int(jax.random.bits(derive_key(seed, Purpose.FRESH_WEIGHTS, round_), dtype=jnp.uint32) >> 1)


def _arrays(tree: PyTree) -> dict[str, np.ndarray]:
    """Return a pytree's leaves by path, on the host."""
    return {path: np.asarray(leaf) for path, leaf in present(tree).items()}


def _own(tree: PyTree) -> PyTree:
    """Return the tree with copies of its NumPy arrays."""
    return _like(tree, tree)


def _like(tree: PyTree, other: PyTree) -> PyTree:
    """Return the tree with NumPy arrays where the other one has them, and JAX's elsewhere.

    NumPy's are copies, because a training function may work in place.
    """
    kinds = flattened(other)
    every = Leaves(structure_of(tree), flattened(tree), ())
    return every.with_chosen({path: _as_kind(leaf, kinds[path]) for path, leaf in every.all.items()})


def _as_kind(leaf: Any, kind: Any) -> Any:
    if leaf is None:
        return None
    if isinstance(kind, np.ndarray):
        return np.array(leaf, kind.dtype)
    return leaf if isinstance(leaf, jax.Array) else jnp.array(leaf)
