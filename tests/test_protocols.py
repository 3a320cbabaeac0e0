"""Protocols: the paper's numbers, what a user may change, what is refused."""

import itertools
import re
from dataclasses import replace

import pytest

from analysis.errors import UsageError, choose
from analysis.protocols import PAPER, PROTOCOLS, Changes, parse_rates, protocol
from analysis.studies import Experiment, Study, Untrained, identity
from analysis.units import units
from supermask.compression.dsd import DSDRun
from supermask.learned_masks import LearnedMask
from supermask.lottery import Treatment
from supermask.masks import Rates


@pytest.mark.parametrize(
    ("network", "dataset", "rate", "epochs", "conv"),
    [
        ("fc", "mnist", 1.2e-3, 55, 0.10),
        ("conv2", "cifar10", 2e-4, 27, 0.10),
        ("conv4", "cifar10", 3e-4, 34, 0.10),
        ("conv6", "cifar10", 3e-4, 40, 0.15),
    ],
)
def test_the_papers_protocol_to_the_letter(network, dataset, rate, epochs, conv):
    paper = protocol("paper", network)
    assert (paper.dataset, paper.learning_rate, paper.epochs) == (dataset, rate, epochs)
    assert (paper.rounds, paper.seeds, paper.batch_size, paper.evaluate_every) == (24, 5, 60, 100)
    assert (paper.rates.dense, paper.rates.output) == (0.20, 0.10)
    assert paper.rates.conv == conv
    assert paper.label == "paper"


def test_quick_is_offline_and_reaches_the_papers_sparsity_in_a_quarter_of_the_rounds():
    quick = protocol("quick")
    assert (quick.dataset, quick.seeds, quick.rounds) == ("mnist5k", 3, 6)
    assert (1 - quick.rates.dense) ** quick.rounds == pytest.approx((1 - 0.2) ** 24)


def test_a_changed_protocol_says_so():
    assert protocol("paper", changes=Changes(seeds=2, rounds=24)).label == "paper (changed: seeds)"
    assert protocol("short", changes=Changes(rates={"dense": 0.5})).rates.dense == 0.5


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (Changes(seeds=0), "seeds is 0; allowed: 1 to 10,000"),
        (Changes(rounds=0), "rounds is 0; allowed: 1 to 1,000"),
        (Changes(epochs=-1), "epochs is -1; allowed: 0 to 1,000,000"),
        (Changes(epochs=float("nan")), "epochs is nan; allowed: 0 to 1,000,000"),
        (Changes(rates={"dense": 1.0}), "rates.dense is 1.0; allowed: 0 <= fraction < 1"),
        (Changes(rates={"dens": 0.1}), "rates 'dens' is unknown (did you mean dense?)"),
    ],
)
def test_impossible_changes_are_refused(changes, message):
    with pytest.raises(UsageError, match=re.escape(message)):
        protocol("quick", changes=changes)


def test_unknown_names_are_refused_with_the_nearest():
    with pytest.raises(
        UsageError, match=r"protocol 'sort' is unknown \(did you mean short\?\); choose from: quick, short"
    ):
        protocol("sort")
    with pytest.raises(UsageError, match=r"network 'conv5' is unknown \(did you mean conv"):
        protocol("quick", "conv5")
    with pytest.raises(UsageError, match="choose from: a, b"):
        choose("letter", "zzz", ["a", "b"])


def test_rates_are_read_from_text():
    assert parse_rates("dense=0.2, output=0.1") == {"dense": 0.2, "output": 0.1}
    for text in ("dense", "dense=", "dense=many"):
        with pytest.raises(UsageError, match="it should read like dense=0"):
            parse_rates(text)


@pytest.fixture
def experiment(digits):
    return Experiment(protocol("quick", changes=Changes(dataset="digits")), digits)


def test_names_depend_on_what_determines_a_result_and_nothing_else(experiment):
    name = identity(experiment.describe_training(Treatment(), 1, 3))
    for same in (
        replace(experiment, protocol=replace(experiment.protocol, seeds=9)),
        replace(experiment, protocol=replace(experiment.protocol, rounds=99)),
        replace(experiment, protocol=replace(experiment.protocol, name="mine", changed=("seeds",))),
        replace(experiment, protocol=replace(experiment.protocol, rates=replace(experiment.protocol.rates, conv=0.5))),
    ):
        assert identity(same.describe_training(Treatment(), 1, 3)) == name
    for other in (
        replace(experiment, protocol=replace(experiment.protocol, epochs=11)),
        replace(experiment, protocol=replace(experiment.protocol, learning_rate=1e-3)),
        replace(experiment, protocol=replace(experiment.protocol, rates=replace(experiment.protocol.rates, dense=0.5))),
        replace(experiment, data=replace(experiment.data, digest="another")),
    ):
        assert identity(other.describe_training(Treatment(), 1, 3)) != name
    assert identity(experiment.describe_training(Treatment("movement"), 1, 3)) != name


def test_round_zero_is_shared_by_all_treatments_and_rates(experiment):
    changed = replace(
        experiment, protocol=replace(experiment.protocol, rates=replace(experiment.protocol.rates, dense=0.5))
    )
    assert experiment.describe_training(None, 0, 0) == changed.describe_training(None, 0, 0)


def test_a_name_that_old_results_go_by_stays():
    """A new choice of treatment must leave old results their names: this one is from the first version."""
    description = {
        "revision": 1,
        "kind": "training",
        "dataset": "mnist",
        "seed": 0,
        "round": 1,
        "treatment": {"criterion": "movement"},
    }
    assert identity(description) == "976eba8dfa77e750d8f3c451eaafa4bc"


def test_what_the_factors_gradient_changed_is_renamed_and_nothing_else(experiment):
    """Since the gradient passes through the factor of rescaling, rescaled masks are other results, edge-popup's not."""
    revisions = {
        LearnedMask(): 3,
        LearnedMask("signed_constant", start=-2.0): 3,
        LearnedMask(method="edge_popup", rescaled=True): 3,
        LearnedMask(rescaled=True): 4,
        LearnedMask(rescaled=True, method="threshold"): 4,
        LearnedMask(rescaled=True, through_factor=False): 4,
    }
    described = {learned: experiment.describe_learned(learned, 0) for learned in revisions}
    assert {learned: each["revision"] for learned, each in described.items()} == revisions
    assert len({identity(each) for each in described.values()}) == len(revisions)
    assert described[LearnedMask()]["mask"] == {}


def test_only_results_whose_counts_were_wrong_have_new_names(experiment):
    """Every rate of up to four decimals, and so all of the protocols', was read rightly; 0.99999 was read as 1."""
    for name, network in itertools.product(PROTOCOLS, PAPER):
        own = replace(experiment, protocol=replace(protocol(name, network), dataset="digits"))
        assert "counts" not in own.describe_training(Treatment(), 0, 1)
        assert "counts" not in own.describe_untrained(Untrained("random"), 0, 1)
    finer = replace(experiment, protocol=replace(experiment.protocol, rates=Rates(dense=0.99999, output=0.1)))
    assert finer.describe_training(Treatment(), 0, 1)["counts"] == "exact"
    assert finer.describe_untrained(Untrained("random"), 0, 1)["counts"] == "exact"
    assert "counts" not in finer.describe_training(None, 0, 0)


def test_studies_unite_without_repeating():
    first = Study((Treatment(), Treatment("random")), (Untrained("random"),))
    second = Study((Treatment("random"), Treatment("movement")))
    assert (first | second).treatments == (Treatment(), Treatment("random"), Treatment("movement"))
    assert (first | second).untrained == (Untrained("random"),)


def test_a_study_lists_everything_once(experiment):
    study = Study((Treatment(), Treatment("random")), (Untrained("random"), Untrained("random", "signed_constant")))
    names = [identity(description) for description in experiment.descriptions(study)]
    assert len(names) == len(set(names)) == 3 * (1 + 2 * 6 + 2 * 7)


def test_the_unpruned_network_is_part_of_a_study_that_starts_from_it_or_wants_it(experiment):
    own = Study(dsd=(DSDRun(0.25),), unpruned=False)
    for with_it in (Study(), Study(dsd=own.dsd), own | Study(), Study((Treatment(),), unpruned=False)):
        assert with_it.has_round_zero
        assert experiment.describe_training(None, 0, 0) in list(experiment.descriptions(with_it))
    assert not own.has_round_zero
    assert {description["kind"] for description in experiment.descriptions(own)} == {"dsd"}
    assert [unit.group for unit in units(experiment, own)] == ["dsd"] * 3
