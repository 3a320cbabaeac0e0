"""Protocols: the paper's numbers, what a user may change, what is refused."""

import itertools
import re
from dataclasses import fields, replace

import pytest

from supermask.actions import KeptAction
from supermask.analysis.kinds.plan import complete, ids_needed, results_needed, results_of
from supermask.analysis.kinds.rounds import Unpruned
from supermask.analysis.kinds.untrained import Untrained
from supermask.analysis.running.units import units
from supermask.analysis.store.identity import identity
from supermask.analysis.studies.experiment import Experiment, Study
from supermask.analysis.studies.protocols import PAPER, PROTOCOLS, Changes, differences, protocol
from supermask.analysis.studies.rates import parse_rates
from supermask.analysis.system.errors import UsageError, choose
from supermask.compression.dsd import DSDRun
from supermask.criteria import CRITERIA, RENAMED
from supermask.learned_masks import LearnedMask
from supermask.masks import Rates
from supermask.named_members import BUILT_IN
from supermask.restarts import Treatment
from supermask.sparse_training.runs import SparseRun


@pytest.mark.parametrize(
    ("network", "dataset", "rate", "epochs", "conv"),
    [
        ("fc", "mnist", 1.2e-3, 55, 0.10),
        ("conv2", "cifar10", 2e-4, 27, 0.10),
        ("conv4", "cifar10", 3e-4, 34, 0.10),
        ("conv6", "cifar10", 3e-4, 40, 0.15),
    ],
)
def test_the_papers_numbers_are_the_papers(network, dataset, rate, epochs, conv):
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


def test_what_was_changed_is_found_however_the_protocol_was_made():
    """By the options or by `replace` from Python, in any field, down to those of its parts."""
    paper = protocol("paper")
    assert replace(paper, batch_size=10, learning_rate=0.5).label == "paper (changed: learning-rate, batch-size)"
    masks = replace(paper.masks, optimiser="adam", epochs=3.0)
    assert replace(paper, masks=masks).label == "paper (changed: mask-epochs, mask-optimiser)"
    assert replace(paper, graph=replace(paper.graph, side=4)).label == "paper (changed: graph-side)"
    assert replace(paper, name="mine", batch_size=10).label == "mine", "a name of the user's own promises nothing"
    for field in fields(paper):
        if field.name not in ("name", "network", "network_digest", "masks", "tasks", "sparse", "graph", "recipe"):
            assert replace(paper, **{field.name: 7}).label == f"paper (changed: {field.name.replace('_', '-')})"


def test_undoing_a_difference_leaves_the_others():
    own = protocol("short", "conv2", Changes(epochs=1, rates={"conv": 0.5}, mask_epochs=2))
    found = {each.name: each for each in differences(own)}
    assert list(found) == ["epochs", "rates", "mask-epochs"]
    assert found["rates"].value == {"conv": 0.5}
    assert found["rates"].undone == protocol("short", "conv2", Changes(epochs=1, mask_epochs=2))
    assert found["mask-epochs"].undone == protocol("short", "conv2", Changes(epochs=1, rates={"conv": 0.5}))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (Changes(seeds=0), "seeds is 0; allowed: 1 to 10,000"),
        (Changes(rounds=0), "rounds is 0; allowed: 1 to 1,000"),
        (Changes(epochs=-1), "epochs is -1; allowed: 0 to 1,000,000"),
        (Changes(epochs=float("nan")), "epochs is nan; allowed: 0 to 1,000,000"),
        (Changes(rates={"dense": 1.0}), "rates.dense is 1.0; allowed: 0 <= fraction < 1"),
        (Changes(rates={"dens": 0.1}), "rates 'dens' is unknown (did you mean dense?)"),
        (Changes(rates={"recurrent": 0.1}), "rates has recurrent, and fc has no recurrent layers; allowed: dense, out"),
        (Changes(ranking="global", rates={"dense": 0.1, "output": 0.1}), "rates has output, and ranking is global"),
        (Changes(ranking="globally"), "ranking 'globally' is unknown (did you mean global?)"),
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
    name = results_of(experiment, Treatment(), 1)[2].id
    for same in (
        replace(experiment, protocol=replace(experiment.protocol, seeds=9)),
        replace(experiment, protocol=replace(experiment.protocol, rounds=99)),
        replace(experiment, protocol=replace(experiment.protocol, name="mine")),
        replace(experiment, protocol=replace(experiment.protocol, rates=replace(experiment.protocol.rates, conv=0.5))),
    ):
        assert results_of(same, Treatment(), 1)[2].id == name
    for other in (
        replace(experiment, protocol=replace(experiment.protocol, epochs=11)),
        replace(experiment, protocol=replace(experiment.protocol, learning_rate=1e-3)),
        replace(experiment, protocol=replace(experiment.protocol, rates=replace(experiment.protocol.rates, dense=0.5))),
        replace(experiment, data=replace(experiment.data, train=experiment.data.validation, digest="")),
    ):
        assert results_of(other, Treatment(), 1)[2].id != name
    assert identity(results_of(experiment, BUILT_IN.treatment("movement"), 1)[2].description) != name


def test_a_global_ranking_names_the_results_of_global_treatments(experiment):
    own = replace(experiment, protocol=replace(experiment.protocol, ranking="global"))
    for given in (Treatment(), Treatment(ranking="global"), BUILT_IN.treatment("movement", schedule="one_shot")):
        expected = results_of(experiment, replace(given, ranking="global"), 0)
        assert results_of(own, given, 0) == expected
    for run in (Unpruned(), Untrained(CRITERIA["random"]), DSDRun(0.3)):
        assert results_of(own, run, 0) == results_of(experiment, run, 0)
    assert protocol("quick", changes=Changes(ranking="global")).label == "quick (changed: ranking)"
    assert protocol("quick", changes=Changes(ranking="layer")) == protocol("quick")


def test_a_kinds_own_rate_is_described_where_it_has_layers_and_the_rate_is_another(digits):
    def described(network: str, rates: dict[str, float]) -> dict[str, float]:
        own = protocol("quick", network, Changes(dataset="digits", rates=rates))
        return results_of(Experiment(own, digits), Treatment(), 0)[0].description["rates"]

    plain = described("lstm", {"dense": 0.2})
    assert plain == {"dense": 0.2, "output": described("fc", {})["output"]}
    assert described("lstm", {"dense": 0.2, "recurrent": 0.2}) == plain
    assert described("lstm", {"dense": 0.2, "recurrent": 0.1}) == plain | {"recurrent": 0.1}
    with pytest.raises(UsageError, match=r"rates has depthwise, and mobilenet has no depthwise ones that are pruned"):
        described("mobilenet", {"depthwise": 0.1})
    quick = protocol("quick", "lstm")
    assert quick.rates.recurrent is None
    assert quick.rates.of("recurrent") == quick.rates.dense


def test_round_zero_is_shared_by_all_treatments_and_rates(experiment):
    changed = replace(
        experiment, protocol=replace(experiment.protocol, rates=replace(experiment.protocol.rates, dense=0.5))
    )
    assert results_of(experiment, Unpruned(), 0)[0].description == results_of(changed, Unpruned(), 0)[0].description


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
    described = {learned: results_of(experiment, learned, 0)[0].description for learned in revisions}
    assert {learned: each["revision"] for learned, each in described.items()} == revisions
    assert len({identity(each) for each in described.values()}) == len(revisions)
    assert described[LearnedMask()]["mask"] == {}


def test_only_results_whose_counts_were_wrong_have_new_names(experiment):
    """Every rate of up to four decimals, and so all of the protocols', was read rightly; 0.99999 was read as 1."""
    for name, network in itertools.product(PROTOCOLS, PAPER):
        own = replace(experiment, protocol=replace(protocol(name, network), dataset="digits"))
        assert "counts" not in results_of(own, Treatment(), 0)[0].description
        assert "counts" not in results_of(own, Untrained(CRITERIA["random"]), 0)[1].description
    finer = replace(experiment, protocol=replace(experiment.protocol, rates=Rates(dense=0.99999, output=0.1)))
    assert results_of(finer, Treatment(), 0)[0].description["counts"] == "exact"
    assert results_of(finer, Untrained(CRITERIA["random"]), 0)[1].description["counts"] == "exact"
    assert "counts" not in results_of(finer, Unpruned(), 0)[0].description
    for part, named in ((0.05, None), (0.99999, "exact"), (2e-5, "exact")):
        sparse = [SparseRun("rigl", part)] if part > 1e-3 else []  # fewer weights than layers are refused
        runs = [DSDRun(part), LearnedMask(method="edge_popup", kept=part), *sparse]
        described = [results_of(experiment, run, 0)[0].description for run in runs]
        assert [each.get("counts") for each in described] == [named] * len(runs)
    assert "counts" not in results_of(experiment, LearnedMask(kept=2e-5), 0)[0].description, "of no meaning there"


@pytest.mark.parametrize(
    ("treatment", "name"),
    [
        (Unpruned(), "69e7e48072627110700b043fe01c7677"),
        (Treatment(), "9fec1d4c65263a76b4f1140a16a24b84"),
        (BUILT_IN.treatment("movement"), "9b031c7da75965a99dd64c2e04f050a5"),
        (BUILT_IN.treatment("random"), "82e9c0bffc6bad6aed9a837ff22376db"),
        (BUILT_IN.treatment("large_final_same_sign"), "78d28226f3da1a8067f87180da834e59"),
        (BUILT_IN.treatment("snip"), "61b0ce11f750ac601a81d92e24237394"),
        (BUILT_IN.treatment("magnitude_increase", schedule="one_shot"), "9702090005e8155332441a3bca6aae4d"),
        (BUILT_IN.treatment(kept="reinit"), "495754b3e6ad6dad373a65ccd276189a"),
        (BUILT_IN.treatment(kept="constant_same_sign", pruned="init"), "af720f75b22e9a35902e8db38d9cbb19"),
        (BUILT_IN.treatment(pruned="zero_if_shrunk"), "3cc37daa3136f68b9ed4d20fb24072a7"),
        (Untrained(CRITERIA["large_final"]), "287648508ee0141f30e1dcb9162fd812"),
        (Untrained(CRITERIA["large_final_same_sign"], "signed_constant"), "4c4ad5aa907c83f49c65dc9c021b7cdf"),
        (Untrained(CRITERIA["random"], "kaiming"), "0b758396043e6cc0129b6cea864d0634"),
    ],
    ids=str,
)
def test_results_whose_rules_stayed_keep_their_names(experiment, treatment, name):
    """Names from before some rules changed: of seed 1's round 3, seed 2's level 5, and round 0 of seed 0."""
    seed, index = {Unpruned: (0, 0), Treatment: (1, 2), Untrained: (2, 5)}[type(treatment)]
    assert results_of(experiment, treatment, seed)[index].id == name


@pytest.mark.parametrize(
    ("treatment", "old"),
    [
        (BUILT_IN.treatment("large_init_large_final"), "f9a12ed9cd3de143cbde330ce761c5c0"),
        (BUILT_IN.treatment("small_init_small_final"), "e32f2a7d620fad78bd85f361df939215"),
        (BUILT_IN.treatment("magnitude_increase_same_sign"), "2dbf8e63a2b3a11bd9a62a3e5097ebe4"),
        (BUILT_IN.treatment("magnitude_increase_diff_sign"), "07a9910aea6281d23b2e2531c3fc6aef"),
        (Untrained(CRITERIA["large_init_large_final"]), "44ae44e4a1bc6385e8a12302730951c0"),
        (Untrained(CRITERIA["magnitude_increase_same_sign"]), "1c07a255c2ae7e61fa5b507ef9bc99db"),
        (BUILT_IN.treatment(kept="rewind_or_zero"), "abde33a548694eec092ae8fd6bcf0fcf"),
        (BUILT_IN.treatment(kept="rewind_or_zero", pruned="zero_if_shrunk"), "b989db1fe3fc3a17c66a44696b0d44d0"),
        (BUILT_IN.treatment(pruned="zero_if_grown"), "43f7515037ff63ea416f9e5174f1ec1e"),
        (BUILT_IN.treatment(pruned="zero_at_random"), "fd9335b081d7503ccc6e669aa14c69bd"),
    ],
    ids=str,
)
def test_results_under_a_former_rule_are_not_taken_for_those_under_todays(experiment, treatment, old):
    seed, index = {Treatment: (1, 2), Untrained: (2, 5)}[type(treatment)]
    description = results_of(experiment, treatment, seed)[index].description
    assert identity(description) != old
    rules = description.pop("rules")
    assert identity(description) == old, "the rule's revision is all that tells them apart"
    assert set(rules.values()) == {2}
    assert rules.keys() <= {"criterion", "kept", "pruned"}


def test_a_rule_that_asks_for_zeros_is_another_after_a_users_own_kept_action(experiment):
    """Such an action may set weights to 0; of the toolkit's own, `rewind_or_zero` alone does, which has a revision."""
    known = BUILT_IN.plus(KeptAction("mine", lambda w_initial: 0 * w_initial, source="0" * 64))

    def rules_of(kept: str, pruned: str) -> dict[str, int]:
        described = results_of(experiment, known.treatment(kept=kept, pruned=pruned), 0)[0].description
        return described.get("rules", {})

    rules = {
        (kept, pruned): rules_of(kept, pruned)
        for kept in ("mine", "reinit", "rewind_or_zero")
        for pruned in ("zero", "zero_if_shrunk")
    }
    assert rules == {
        ("mine", "zero"): {},
        ("mine", "zero_if_shrunk"): {"pruned": 2},
        ("reinit", "zero"): {},
        ("reinit", "zero_if_shrunk"): {},
        ("rewind_or_zero", "zero"): {"kept": 2},
        ("rewind_or_zero", "zero_if_shrunk"): {"kept": 2},
    }


@pytest.mark.parametrize("name", RENAMED)
def test_a_former_name_is_refused_with_the_present_one(name):
    with pytest.raises(ValueError, match=f"criterion is '{name}'; this rule is now '{RENAMED[name]}'"):
        BUILT_IN.treatment(name)
    with pytest.raises(UsageError, match=f"criterion '{name}' is now called '{RENAMED[name]}'"):
        choose("criterion", name, CRITERIA, RENAMED)


def test_studies_unite_without_repeating():
    first = Study((Treatment(), BUILT_IN.treatment("random"), Untrained(CRITERIA["random"])))
    second = Study((BUILT_IN.treatment("random"), BUILT_IN.treatment("movement")))
    assert (first | second).of(Treatment) == (Treatment(), BUILT_IN.treatment("random"), BUILT_IN.treatment("movement"))
    assert (first | second).of(Untrained) == (Untrained(CRITERIA["random"]),)


def test_a_study_lists_everything_once(experiment):
    runs = (
        Treatment(),
        BUILT_IN.treatment("random"),
        Untrained(CRITERIA["random"]),
        Untrained(CRITERIA["random"], "signed_constant"),
    )
    names = [named.id for named in results_needed(experiment, Study(runs))]
    assert len(names) == len(set(names)) == 3 * (1 + 2 * 6 + 2 * 7)


def test_what_a_run_starts_from_is_part_of_its_study(experiment):
    zero = results_of(experiment, Unpruned(), 0)[0].id
    for run in (Unpruned(), Treatment(), Untrained(CRITERIA["random"])):
        assert zero in ids_needed(experiment, Study((run,)))
    own = Study((DSDRun(0.25),))
    assert {named.description["kind"] for named in results_needed(experiment, own)} == {"dsd"}
    assert [unit.group for unit in units(experiment, own)] == ["dsd"] * 3
    from_another = SparseRun(density=0.1, structure="set")
    assert complete(Study((from_another,))).runs == (from_another.source, from_another)


def test_what_is_no_run_is_refused(experiment):
    with pytest.raises(TypeError, match="run is 'large_final'; allowed: instances of Barrier, CompressionRun, DSDRun"):
        results_of(experiment, "large_final", 0)
