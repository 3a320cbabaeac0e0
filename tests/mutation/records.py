"""What became of mutants, in a file of JSON lines: what was tried is not tried again."""

import hashlib
import json
from pathlib import Path
from typing import Any

from .operators import Mutant
from .running import Verdict
from .sampling import ROOT
from .targets import TARGETS


class Records:
    """Verdicts by the faulty module's text. A survivor's holds for its tests as they are; a killed one's for good."""

    def __init__(self, path: Path) -> None:
        self._path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
        self._known: dict[str, dict[str, Any]] = {line["digest"]: line for line in map(json.loads, lines)}

    def of(self, mutant: Mutant) -> Verdict | None:
        """The mutant's verdict, if there is one that still holds."""
        line = self._known.get(mutant.digest)
        if line is None or (line["outcome"] == "survived" and line["tests"] != digest_of_tests(TARGETS[mutant.module])):
            return None
        return Verdict(line["outcome"], line["by"], line["seconds"])

    def add(self, mutant: Mutant, verdict: Verdict) -> None:
        """Keeps a verdict."""
        names = ("module", "where", "line", "kind", "before", "after")
        own = {name: getattr(mutant, name) for name in names} | {"by": verdict.by, "seconds": verdict.seconds}
        tests = digest_of_tests(TARGETS[mutant.module])
        self._append({"digest": mutant.digest, "tests": tests, "outcome": verdict.outcome, **own})

    def unchanged(self, tests: tuple[str, ...]) -> Verdict | None:
        """The verdict on the unchanged code, if it and these tests are still the same."""
        line = self._known.get(_digest_of_everything(tests))
        return None if line is None else Verdict("survived", "", line["seconds"], line["by_test"])

    def add_unchanged(self, tests: tuple[str, ...], verdict: Verdict) -> None:
        """Keeps the verdict on the unchanged code: that it passes, and how long each test takes."""
        digest = _digest_of_everything(tests)
        self._append({"digest": digest, "unchanged": tests, "seconds": verdict.seconds, "by_test": verdict.by_test})

    def _append(self, line: dict[str, Any]) -> None:
        self._known[line["digest"]] = line
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line, ensure_ascii=False) + "\n")


def digest_of_tests(tests: tuple[str, ...]) -> str:
    """SHA-256 of the files of tests."""
    return _digest([ROOT / "tests" / name for name in tests if name.endswith(".py")])


def _digest_of_everything(tests: tuple[str, ...]) -> str:
    code = [path for name in ("supermask", "analysis", "figures") for path in sorted((ROOT / name).rglob("*.py"))]
    return hashlib.sha256(f"{tests} {digest_of_tests(tests)} {_digest(code)}".encode()).hexdigest()


def _digest(paths: list[Path]) -> str:
    return hashlib.sha256(b"\0".join(path.read_bytes() for path in paths)).hexdigest()
