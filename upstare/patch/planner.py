"""Plans one direction of a patch. It never stops at the first problem."""

from __future__ import annotations

from upstare.patch.compare import Comparison
from upstare.patch.frames import Frames
from upstare.patch.labels import check_labels
from upstare.patch.messages import check_messages
from upstare.patch.plan import Plan
from upstare.patch.relate import Relations
from upstare.patch.statics import check_records, plan_entries, plan_variables
from upstare.patch.user import UserTransformers


def plan(comparison: Comparison, user: UserTransformers) -> tuple[Plan, Relations]:
    """The plan for the way from ``comparison.old`` to ``comparison.new``."""
    relations = Relations(comparison, user)
    result = Plan()
    plan_variables(comparison, relations, result)
    check_records(comparison, relations, result)
    check_messages(comparison, relations, user, result)
    plan_entries(comparison, result)
    check_labels(comparison, result)
    frames = Frames(comparison, relations, result)
    for function in comparison.old.functions.values():
        if function.points:
            frames.plan(function)
    frames.finish()
    result.continuations.sort(key=lambda c: (int(c.old.id, 16), c.old_point.number))
    return result, relations
