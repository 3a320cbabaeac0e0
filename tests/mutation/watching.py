"""A plugin of pytest for one run: the fastest tests come first, and the first that fails is remembered."""

from collections.abc import Mapping

import pytest


class Watch:
    """Orders tests by their seconds (those of which none are known first) and measures them.

    Examples that fail are not made smaller: that a mutant is dead is enough.
    """

    def __init__(self, seconds: Mapping[str, float]) -> None:
        self._known = seconds
        self.first_failure = ""
        self.seconds: dict[str, float] = {}

    def pytest_configure(self) -> None:
        """Takes the place of the tests' own profile of hypothesis, when that is there."""
        from hypothesis import Phase, settings

        profile = settings(settings.get_profile("tests"), phases=(Phase.explicit, Phase.generate))
        settings.register_profile("mutation", profile)
        settings.load_profile("mutation")

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """The fastest first."""
        items.sort(key=lambda item: self._known.get(item.nodeid, 0.0))

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Adds up a test's seconds, those of fixtures made for it included."""
        self.seconds[report.nodeid] = self.seconds.get(report.nodeid, 0.0) + report.duration
        if report.failed and not self.first_failure:
            self.first_failure = report.nodeid

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """A module that cannot be imported fails here."""
        if report.failed and not self.first_failure:
            self.first_failure = f"{report.nodeid} (collection)"
