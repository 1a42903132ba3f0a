"""Label addresses that a program keeps as values: the numbers of the old version must mean the same in the new one."""

from __future__ import annotations

from upstare.patch.compare import Comparison
from upstare.patch.plan import Plan, at
from upstare.patch.report import Finding


def check_labels(comparison: Comparison, result: Plan) -> None:
    """Refuse where a stored label address of the old version would be another label in the new one."""
    for old in comparison.old.functions.values():
        new = comparison.pair(old)
        if new is None or not new.labels or new.labels[: len(old.labels)] == old.labels:
            continue
        result.refusals.append(
            Finding(
                f"function {old.name}",
                "it stores addresses of labels, and those that are already stored would lead to other labels",
                at(old),
                at(new),
                hint="keep the labels in their order, and mention the address of a new one (&&label) after the others",
                details=[f"before: {', '.join(old.labels)}", f"after: {', '.join(new.labels)}"],
            )
        )
