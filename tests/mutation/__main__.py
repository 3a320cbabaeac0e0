"""The command: `python -m tests.mutation`, from the root of a checkout."""

import argparse
import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import groupby
from pathlib import Path

from .operators import Mutant
from .records import Records
from .running import Trial, import_libraries, run_all
from .sampling import ROOT, by_hand, equivalent_mutants, sample
from .targets import TARGETS

ENOUGH = 0.95
"""The share of mutants that the tests must kill, those that do the same as the right code left out."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Tries mutants of the science and prints the survivors.

    Ends with 0 where 95% of them were killed, with 1 where fewer were, and with 3 where time ran out.
    """
    options = _options(arguments)
    modules = [name for name in TARGETS if not options.modules or _chosen(name, options.modules)]
    if not modules:
        raise SystemExit(f"--modules is {' '.join(options.modules)}; allowed: {', '.join(TARGETS)}")
    mutants = by_hand(modules) + sample(modules, options.count, options.seed)
    equivalent = equivalent_mutants()
    if options.list:
        print(*map(described, mutants), sep="\n")
        return 0
    until = time.monotonic() + 60 * options.minutes
    records = Records(options.folder / "verdicts.jsonl")
    missing = [mutant for mutant in mutants if mutant.key not in equivalent and records.of(mutant) is None]
    missing.sort(key=lambda mutant: modules.index(mutant.module))
    import_libraries(options.folder / "compiled")
    for tests, group in groupby(missing, key=lambda mutant: TARGETS[mutant.module]):
        _try(tests, list(group), records, options, until)
    return _report(mutants, records, equivalent)


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m tests.mutation", description=main.__doc__)
    add = parser.add_argument
    add("--modules", nargs="+", default=[], help="modules or packages; default: all in tests/mutation/targets.py")
    add("--count", type=int, default=12, help="mutants of each module, beside those written by hand; default: 12")
    add("--seed", type=int, default=0, help="the sample's; default: 0")
    add("--jobs", type=int, default=1, help="mutants tried at once; default: 1")
    add("--timeout", type=float, default=4.0, help="times the right code's time that a mutant gets; default: 4")
    add("--minutes", type=float, default=1e6, help="start nothing after so many; the next call goes on from there")
    add("--folder", type=Path, default=ROOT / ".mutation", help="where verdicts are kept; default: .mutation")
    add("--list", action="store_true", help="print the mutants and try none")
    return parser.parse_args(arguments)


def _chosen(module: str, names: Sequence[str]) -> bool:
    return any(module == name or module.startswith(f"{name}.") for name in names)


def described(mutant: Mutant) -> str:
    """The mutant in one line."""
    return f"{mutant.module}:{mutant.line} ({mutant.where}; {mutant.kind}) {mutant.before} -> {mutant.after}"


def _try(
    tests: tuple[str, ...], mutants: Sequence[Mutant], records: Records, options: argparse.Namespace, until: float
) -> None:
    """Tries mutants that have the same tests; the unchanged code must pass them, and says how long they may take."""
    unchanged = records.unchanged(tests)
    if unchanged is None:
        for _, unchanged in run_all([Trial(None, tests, 3600.0)], 1, until):
            if unchanged.outcome != "survived":
                raise SystemExit(f"the unchanged code fails: {unchanged.outcome} by {unchanged.by} of {tests}")
            print(f"unchanged code passes {' '.join(tests)} in {unchanged.seconds:.0f} s", flush=True)
            records.add_unchanged(tests, unchanged)
    if unchanged is None:
        return  # no time is left
    limit = 60 + options.timeout * unchanged.seconds
    trials = [Trial(mutant, tests, limit, unchanged.by_test) for mutant in mutants]
    for done, (trial, verdict) in enumerate(run_all(trials, options.jobs, until), 1):
        assert trial.mutant is not None
        records.add(trial.mutant, verdict)
        by = f" by {verdict.by}" if verdict.by else ""
        print(f"{done}/{len(trials)} {described(trial.mutant)}", flush=True)
        print(f"    {verdict.outcome}{by} in {verdict.seconds:.0f} s", flush=True)


def _report(mutants: Sequence[Mutant], records: Records, equivalent: Mapping[tuple[str, str, str, str], str]) -> int:
    """Prints a line a module, and every mutant that lives without a reason."""
    outcomes = {mutant: _outcome(mutant, records, equivalent) for mutant in mutants}
    for module in dict.fromkeys(mutant.module for mutant in mutants):
        print(module, _counts(outcomes[mutant] for mutant in mutants if mutant.module == module))
    counts = Counter(outcomes.values())
    print("all", _counts(outcomes.values()))
    for mutant, outcome in outcomes.items():
        if outcome == "survived":
            print(f"survivor: {described(mutant)}")
    killed = counts["killed"] + counts["timeout"]
    tried = killed + counts["survived"]
    print(f"killed: {killed} of {tried}" + (f", {killed / tried:.1%}" if tried else ""))
    if counts["not tried"]:
        return 3
    return int(killed < ENOUGH * tried)


def _outcome(mutant: Mutant, records: Records, equivalent: Mapping[tuple[str, str, str, str], str]) -> str:
    if mutant.key in equivalent:
        return "equivalent"
    verdict = records.of(mutant)
    return "not tried" if verdict is None else verdict.outcome


def _counts(outcomes: object) -> str:
    counted = Counter(outcomes)  # type: ignore[call-overload]
    return ", ".join(f"{number} {outcome}" for outcome, number in sorted(counted.items()))


if __name__ == "__main__":
    sys.exit(main())
