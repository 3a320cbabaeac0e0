"""Which mutants are tried: faults written by hand first, then a sample of each module."""

import hashlib
import tomllib
from collections.abc import Iterable, Sequence
from pathlib import Path

from .faults import FAULTS
from .operators import Mutant, mutants_of, replaced

ROOT = Path(__file__).parents[2]
EQUIVALENT = Path(__file__).with_name("equivalent.toml")


def path_of(module: str) -> Path:
    """The module's file, from the root of the checkout."""
    return Path(*module.split(".")).with_suffix(".py")


def source_of(module: str) -> str:
    """The module's own source."""
    return (ROOT / path_of(module)).read_text(encoding="utf-8")


def by_hand(modules: Iterable[str]) -> list[Mutant]:
    """The faults of `FAULTS` in these modules. Raises ValueError where the text is not there exactly once."""
    found = []
    for fault in FAULTS:
        if fault.module not in modules:
            continue
        source = source_of(fault.module)
        if source.count(fault.old) != 1:
            raise ValueError(
                f"the fault {fault.name!r} does not fit {fault.module}: {fault.old!r} is in it "
                f"{source.count(fault.old)} times; it must be there once"
            )
        start = source[: source.index(fault.old)].encode()
        span = len(start), len(start) + len(fault.old.encode())
        found.append(replaced(fault.module, source, ("by hand", fault.name), span, fault.new))
    return found


def sample(modules: Sequence[str], count: int, seed: int) -> list[Mutant]:
    """`count` mutants of each module (all there are, at most), in random order.

    A mutant's place is drawn from the seed and its own lines: a change elsewhere in a module leaves the others in.
    """

    def place(mutant: Mutant) -> bytes:
        return hashlib.sha256("\n".join((str(seed), *mutant.key)).encode()).digest()

    return [mutant for m in modules for mutant in sorted(mutants_of(m, source_of(m)), key=place)[:count]]


def equivalent_mutants() -> dict[tuple[str, str, str, str], str]:
    """Why no test can find a mutant, by the mutant's key."""
    entries = tomllib.loads(EQUIVALENT.read_text(encoding="utf-8")).get("equivalent", [])
    return {(e["module"], e["where"], e["before"], e["after"]): e["reason"] for e in entries}
