"""One failure anywhere in the sensing path costs a few frames, never a label or the node.

Invariant "Nothing escapes".
"""

from __future__ import annotations

import pytest
from support.single_failures import SITES, check_rules, fail_once


@pytest.mark.parametrize('site', SITES)
def test_row_100_one_failing_call_breaks_no_rule_and_everything_is_used_again(site):
    """A sample of the n: `benchmark/reliability single-failures` tries every one."""
    happened = 0
    for at in (0, 1, 5, 12, 29, 47):
        done, samples = fail_once(site, at, seconds=1.1)
        if done:
            happened += 1
            check_rules(samples, f'{site} at call {at}')
    assert happened >= 1, 'the site is on the path'
