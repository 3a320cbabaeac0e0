"""A study cut into units: nothing lost, nothing idle, and shards that come together to the same bits."""

import re
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from supermask.analysis.command.merging import merge
from supermask.analysis.drawing.tables import tidy_table
from supermask.analysis.kinds.plan import ids_needed
from supermask.analysis.kinds.untrained import Untrained
from supermask.analysis.running import pricing, runner
from supermask.analysis.running.pricing import Price, StepSeconds, price
from supermask.analysis.running.units import Shard, deal, parse_shard, seeds_of, together, units
from supermask.analysis.store.store import Only, Store
from supermask.analysis.studies.experiment import Experiment, Study
from supermask.analysis.studies.protocols import Changes, protocol
from supermask.analysis.system.errors import UsageError
from supermask.compression.dsd import DSDRun
from supermask.compression.runs import CompressionRun
from supermask.criteria import CRITERIA
from supermask.figures.catalogue import CATALOGUE
from supermask.learned_masks import LearnedMask
from supermask.named_members import BUILT_IN
from supermask.networks import NETWORKS
from supermask.restarts import Treatment
from supermask.sparse_training.runs import SparseRun

TREATMENTS = (Treatment(), BUILT_IN.treatment("random"))
EVERYTHING = Study(
    (
        *(*TREATMENTS, Treatment(rewind_step=10)),
        *(
            Untrained(CRITERIA["large_final"]),
            Untrained(CRITERIA["large_final"], "signed_constant"),
            Untrained(CRITERIA["random"]),
        ),
        *(LearnedMask(), LearnedMask(method="threshold", start=0.5)),
        *(SparseRun(), SparseRun("set", 0.1), SparseRun("static", 0.1, structure="set")),
        *(DSDRun(), DSDRun(0.3)),
    )
)


@pytest.fixture(scope="module")
def experiment(digits, compiled_once):
    changes = Changes(dataset="digits", epochs=3, rounds=2, seeds=3, mask_epochs=1, sparse_epochs=2)
    return Experiment(protocol("quick", changes=changes), digits)


def ids_of(experiment, study) -> set[str]:
    return set(ids_needed(experiment, study))


def test_units_make_every_result_once_and_what_they_need_comes_first(experiment):
    for figure in (entry.load() for entry in CATALOGUE.values()):
        study = figure.whole | EVERYTHING
        made: list[str] = []
        for unit in units(experiment, study):
            assert set(unit.needs) <= set(made), unit
            made += unit.ids
            assert unit.work > 0
        assert len(made) == len(set(made))
        assert set(made) >= ids_of(experiment, study), figure.name


@given(st.integers(1, 9))
def test_shards_make_everything_between_them_and_each_all_that_it_needs(experiment, count):
    whole = ids_of(experiment, EVERYTHING)
    shards = [deal(experiment, EVERYTHING, Shard(index, count)) for index in range(1, count + 1)]
    made = [{id_ for unit in dealt for id_ in unit.ids} for dealt in shards]
    assert set().union(*made) == whole
    for dealt, own in zip(shards, made, strict=True):
        assert all(set(unit.needs) <= own for unit in dealt)
    twice = sum(map(len, made)) - len(whole)
    assert twice <= 3 * len(experiment.seeds) * count / 2, "only what several need is made more than once"


def test_two_shards_merged_are_the_whole_to_the_bit(experiment, tmp_path):
    own = replace(experiment, protocol=replace(experiment.protocol, seeds=2))
    study = Study((*TREATMENTS, Untrained(CRITERIA["large_final"])))
    with Store(tmp_path / "straight") as store:
        runner.run(own, study, store)
        straight = comparable(store)
    with Store(tmp_path / "merged") as merged:
        for index in (1, 2):
            dealt = deal(own, study, Shard(index, 2))
            wanted = {id_ for unit in dealt for id_ in unit.ids}
            with Store(tmp_path / str(index)) as store:
                runner.run(replace(own, chosen=seeds_of(dealt)), together(dealt), Only(store, wanted))
                assert {result.id for result in store.everything()} == wanted
            merge(merged, tmp_path / str(index))
        pd.testing.assert_frame_equal(comparable(merged), straight)


def comparable(store: Store) -> pd.DataFrame:
    table = tidy_table(store)[["id", "metric", "value"]]
    digests = {result.id: result.arrays_sha256 for result in store.everything()}
    return table.assign(arrays=table["id"].map(digests)).sort_values(["id", "metric"], ignore_index=True)


PAIR = r"allowed: I/N, two whole numbers such as 2/8"


@pytest.mark.parametrize(
    ("text", "allowed"),
    [
        *((text, PAIR) for text in ("", "3", "1/", "/3", "-1/2", "1/2/3", "a/b", "1.5/2", "1/²", "9" * 30 + "/3")),
        *((text, "of no parts; allowed: I/N with N from 1 on") for text in ("1/0", "0/0", "2/00")),
        *((text, "allowed: 1/3 to 3/3") for text in ("0/3", "4/3", "9/03")),
    ],
)
def test_what_is_no_shard_is_refused(text, allowed):
    with pytest.raises(UsageError, match=f"shard is {re.escape(repr(text))}.*{allowed}"):
        parse_shard(text)


def test_a_shard_reads_as_it_was_written():
    assert str(parse_shard("2/8")) == "2/8"


def test_operations_are_those_of_the_papers_networks():
    """Multiplications of one image, worked out by hand from the layers' shapes."""
    for name, shape, expected in (
        ("fc", (28, 28, 1), 784 * 300 + 300 * 100 + 100 * 10),
        ("lenet5", (28, 28, 1), 25 * 20 * 24 * 24 + 25 * 20 * 50 * 8 * 8 + 800 * 500 + 500 * 10),
        ("conv2", (32, 32, 3), (27 * 64 + 576 * 64) * 1024 + 16384 * 256 + 256 * 256 + 2560),
        (
            "conv4",
            (32, 32, 3),
            (27 * 64 + 576 * 64) * 1024 + (576 * 128 + 1152 * 128) * 256 + 8192 * 256 + 256 * 256 + 2560,
        ),
    ):
        network = NETWORKS[name]
        assert network.products(shape) == expected


def test_a_price_counts_what_is_missing_and_what_follows_what(experiment):
    study = Study(tuple(run for run in EVERYTHING.runs if run != Treatment(rewind_step=10)))
    whole = price(experiment, study, ids_of(experiment, study))
    assert whole.results == len(ids_of(experiment, study))
    assert price(experiment, study, ()) == Price(0, 0, 0, 0, 0)
    steps = experiment.training.steps
    rounds = price(experiment, Study(TREATMENTS), ids_of(experiment, Study(TREATMENTS)))
    assert rounds.steps == 3 * (1 + 2 * 2) * steps
    assert rounds.longest == 3 * steps
    network = 2 * 266_200 - 2 * (784 - 64) * 300
    # A batch there and back, validation at the start and at the end, test at both ends.
    examples = 60 * 3 * steps + 200 * 2 + 400 * 2
    assert rounds.flops == 15 * network * examples
    speed = StepSeconds(1.0, 4.0)
    assert rounds.seconds(speed, 1) == rounds.steps
    assert rounds.seconds(speed, 1000) == 4 * rounds.longest


def test_bytes_are_foretold(digits, tmp_path):
    changes = Changes(dataset="digits", epochs=1, rounds=4, seeds=1, mask_epochs=1, sparse_epochs=1)
    experiment = Experiment(protocol("quick", changes=changes), digits)
    study = Study(
        (
            *(Treatment(), BUILT_IN.treatment(pruned="init"), Untrained(CRITERIA["large_final"]), LearnedMask()),
            *(SparseRun("static", 0.1), SparseRun()),
        )
    )
    with Store(tmp_path) as store:
        runner.run(experiment, study, store)
    stored = sum(path.stat().st_size for path in Path(tmp_path).rglob("*") if path.is_file())
    foretold = price(experiment, study, ids_of(experiment, study)).stored
    assert foretold == pytest.approx(stored, rel=0.1)


def test_a_full_recipe_is_priced(digits):
    study = Study((CompressionRun(),))
    own = protocol("quick", changes=Changes(seeds=1))
    experiment = Experiment(own, digits)
    assert price(experiment, study, ids_of(experiment, study)).stored > 4 * 50_200


def test_a_short_training_tells_the_speed(experiment):
    speed = pricing.measure(experiment)
    assert 1e-6 < speed.full < 0.1
    assert speed.full <= speed.alone


@pytest.mark.parametrize(("compiling", "step", "most"), [(12.0, 2.5, 20), (0.5, 0.01, 20), (30.0, 2.0, 36)])
def test_a_slow_machine_is_measured_in_twenty_seconds_or_by_one_step(experiment, monkeypatch, compiling, step, most):
    """A fake machine: it tells what it does, and takes no more time than one step and its compilation need."""
    now, told = [100.0], []

    class Slow:
        def __init__(self, network, data, config, placement, recipe) -> None:
            self.images, self.compiled = len(data.validation) + 2 * len(data.test), False

        def train(self, jobs) -> None:
            now[0] += (0.0 if self.compiled else compiling) + 1e-4 * self.images * (1 + (jobs[0].last_step > 0) / 3)
            now[0] += step * jobs[0].last_step
            self.compiled = True

    monkeypatch.setattr(pricing, "Trainer", Slow)
    speed = pricing.measure(experiment, told.append, lambda: now[0])
    assert now[0] - 100 <= most
    assert speed.alone == pytest.approx(step, rel=0.2, abs=0.01)
    assert [line.split()[0] for line in told] == ["compiling", "timing"]


def test_other_work_on_the_machine_does_not_raise_the_price(experiment, monkeypatch):
    """A fake machine on which four of five trainings are held up for seconds."""
    now, begun = [0.0], [0]

    class Busy:
        def __init__(self, network, data, config, placement, recipe) -> None: ...

        def train(self, jobs) -> None:
            begun[0] += jobs[0].last_step > 1
            now[0] += 1e-3 * jobs[0].last_step * (30 if begun[0] % 5 else 1)

    monkeypatch.setattr(pricing, "Trainer", Busy)
    assert pricing.measure(experiment, clock=lambda: now[0]).alone == pytest.approx(1e-3)
