"""Faults at every step of an update of a tree; the campaign (``python -m tests.stress.faults``) runs thousands."""

from __future__ import annotations

from pathlib import Path

from tests.stress.faults import ACTIONS, STEPS, Fault, campaign


def test_every_fault_at_every_step(tmp_path: Path) -> None:
    faults = [Fault("process", 2, step, action, 0.2) for step in STEPS for action in ACTIONS]
    results = {(f.step, f.action): result.partition(":")[0] for f, result in campaign(faults, tmp_path)}
    for step in STEPS[: STEPS.index("decide")]:  # before the decision
        if step != "loaded":  # where a "no" is not asked for any more
            assert results[step, "refuse"] == "refused"
    for step in STEPS[STEPS.index("decide") :]:
        assert {results[step, action] for action in ACTIONS} == {"updated"}
    assert {results[step, "late"] for step in STEPS} == {"updated"}


def test_coordinator_dies_at_any_time(tmp_path: Path) -> None:
    faults = [Fault("coordinator", 0, "", action, number / 16) for number in range(16) for action in ("kill", "stop")]
    results = [result.partition(":")[0] for _, result in campaign(faults, tmp_path)]
    assert {"killed", "updated"} <= set(results) <= {"killed", "updated", "refused", "timed_out"}


def test_random_faults(tmp_path: Path) -> None:
    assert len(list(campaign(map(Fault.chosen, range(5000, 5030)), tmp_path))) == 30
