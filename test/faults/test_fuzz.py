"""Part of every commit: damaged messages end nothing and leave nothing broken.

The million is `benchmark/reliability fuzz`, whose blocks these are.
"""

from __future__ import annotations

import pytest

from benchmark.reliability.fuzz import run_block


@pytest.mark.parametrize('big, blocks', [(False, 45), (True, 5)])
def test_fifty_thousand_damaged_messages_raise_nothing_and_leave_no_sensor_out(capfd, big, blocks):
    for block in range(blocks):
        target = run_block(5, block, big)
        assert target.samples and target.end.reasons['internal'] == 0, (block, target.end.reasons)
        assert sum(target.end.reasons.values()) > 100  # the mutator does damage
        assert target.recovers(), (block, capfd.readouterr().out)
