"""Rules that remember which weights they set to 0, through the store: a study taken up again gives the same bits."""

from dataclasses import replace

import numpy as np
import pytest

from supermask.analysis.kinds.plan import results_of
from supermask.analysis.running import runner
from supermask.analysis.store.store import Store
from supermask.analysis.studies.experiment import Experiment, Study
from supermask.analysis.studies.protocols import Changes, protocol
from supermask.named_members import BUILT_IN

BOTH = BUILT_IN.treatment(kept="rewind_or_zero", pruned="zero_if_shrunk")
PRUNED_ALONE = BUILT_IN.treatment(pruned="zero_if_shrunk")
ROUNDS = 3


@pytest.fixture(scope="module")
def experiment(digits):
    changes = Changes(dataset="digits", epochs=3, rounds=ROUNDS, seeds=1, rates={"dense": 0.4, "output": 0.2})
    return Experiment(protocol("quick", changes=changes), digits)


@pytest.fixture(scope="module")
def stores(experiment, tmp_path_factory):
    """A store filled at one go, and one that was filled a round at a time."""
    study = Study((BOTH, PRUNED_ALONE))
    with Store(tmp_path_factory.mktemp("straight")) as straight, Store(tmp_path_factory.mktemp("again")) as again:
        runner.run(experiment, study, straight)
        for rounds in range(1, ROUNDS + 1):
            runner.run(replace(experiment, protocol=replace(experiment.protocol, rounds=rounds)), study, again)
        yield straight, again


@pytest.mark.parametrize("treatment", [BOTH, PRUNED_ALONE], ids=["both", "pruned"])
def test_rounds_one_at_a_time_are_the_rounds_at_one_go(stores, experiment, treatment):
    for round_ in range(1, ROUNDS + 1):
        first, second = (store.arrays(results_of(experiment, treatment, 0)[round_ - 1].id) for store in stores)
        assert first.keys() == second.keys()
        for name, array in first.items():
            assert array.tobytes() == second[name].tobytes(), (round_, name)


def test_zeros_are_stored_where_there_are_any_and_only_there(stores, experiment):
    """So that results which no zero is part of have the arrays that they always had."""
    for treatment, some in ((BOTH, True), (PRUNED_ALONE, False)):
        arrays = stores[0].arrays(results_of(experiment, treatment, 0)[1].id)
        zeroed = {name: array for name, array in arrays.items() if name.startswith("zeroed.")}
        assert bool(zeroed) == some
        for name, bits in zeroed.items():
            kept = len(arrays[f"kept.{name.removeprefix('zeroed.')}"])
            assert 0 < np.unpackbits(bits, count=kept).sum() < kept
