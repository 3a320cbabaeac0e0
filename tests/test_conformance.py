"""One test over every registered criterion and action: what all of them promise."""

import pytest

from supermask.actions import KEPT_ACTIONS, PRUNED_ACTIONS
from supermask.analysis.command.conformance import CHECKS
from supermask.criteria import CRITERIA
from supermask.network_criteria import NETWORK_CRITERIA, iterative_snip, iterative_synflow

OF_NETWORK = (*NETWORK_CRITERIA.values(), iterative_snip(7), iterative_synflow(7, density=0.05))
MEMBERS = [*CRITERIA.values(), *OF_NETWORK, *KEPT_ACTIONS.values(), *PRUNED_ACTIONS.values()]


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("member", MEMBERS, ids=lambda member: member.name)
def test_every_member_keeps_every_promise(member, check):
    check(member)
