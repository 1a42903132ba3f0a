"""Objects with static storage, records on the heap, and stable entries: what becomes of them in one direction."""

from __future__ import annotations

from upstare.model.description import AddressUse, Variable
from upstare.patch.compare import Comparison, is_called
from upstare.patch.plan import (
    ESCAPES,
    MOVES,
    Entry,
    Move,
    Plan,
    at,
    record_at,
    record_name,
    type_text,
    use_text,
    uses_of,
    variable_name,
)
from upstare.patch.relate import Kind, Relations, normal
from upstare.patch.report import Finding


def plan_variables(comparison: Comparison, relations: Relations, result: Plan) -> None:
    old, new = comparison.old, comparison.new
    uses = uses_of(old)
    for symbol, variable in old.variables.items():
        target = comparison.variables.get(symbol)
        if target is None:
            result.removed.append(variable)
        elif target == symbol:
            result.bound += 1
        else:
            outside = variable.unit is None and variable.name in old.description.outside
            _plan_move(variable, new.variables[target], relations, uses.get(symbol, []), outside, result)
    shared = {constant.symbol for constant in new.description.constants}
    result.constants += [
        constant
        for constant in old.description.constants
        if constant.symbol not in shared and not any(is_called(constant, t) for t in comparison.mapping.constants)
    ]
    known = set(comparison.variables.values())
    result.initials += [v for s, v in new.variables.items() if s not in known and not v.thread_local]


def _plan_move(
    old: Variable, new: Variable, relations: Relations, uses: list[AddressUse], outside: bool, result: Plan
) -> None:
    subject = f"{'thread-local ' if old.thread_local else ''}variable {variable_name(old)}"
    before, after = type_text(old.type_name, old.type), type_text(new.type_name, new.type)
    change = f"its type changes from '{before}' to '{after}'"
    if before == after:
        change = f"the layout of its type '{before}' changes"
    if normal(old.type) == normal(new.type) and relations.of(old.type, new.type).kind is Kind.SAME:
        change = "it moves to other storage (its scope, unit or name changes)"
    if old.thread_local or new.thread_local:
        result.refusals.append(
            Finding(subject, f"{change}, and thread-local variables cannot be transformed yet", at(old), at(new))
        )
        return
    if outside:
        result.warnings.append(
            Finding(subject, f"{change}: opaque code that uses it by its name stays with the old one", at(old), at(new))
        )
    stored = [use for use in uses if use.how in ESCAPES]
    if stored:
        result.refusals.append(
            Finding(
                subject,
                f"{change} ({old.size} -> {new.size} bytes), so {MOVES}",
                at(old),
                at(new),
                details=[use_text(use) for use in stored],
            )
        )
    name = f"{old.function}_{new.name}" if new.function else new.name
    relation = relations.of(old.type, new.type, name)
    for problem in relation.problems():
        result.object_decisions.append(
            Finding(
                subject + (f", {problem.path}" if problem.path else ""),
                f"{change}: {problem.reason}",
                at(old),
                at(new),
                hint=f"write upstare_transform_{name} (see --transformers)"
                + (f', or map the field in [fields."{normal(new.type)}"]' if "." not in problem.path else ""),
            )
        )
    result.moves.append(Move(old, new, relation))


def check_records(comparison: Comparison, relations: Relations, result: Plan) -> None:
    """Objects that the program made itself, on the heap or in shared memory, have no name by which they could be found
    and changed."""
    description = comparison.old.description
    for old, new in relations.changed_records():
        mapped = [s for s in description.shared_records if normal(s.record) == normal(old.key)]
        places = [s for s in description.pointer_sources if normal(s.record) == normal(old.key)]
        if not mapped and not places:
            continue
        where = "objects of it may be on the heap, where they cannot be found and transformed yet"
        if mapped:
            where = "objects of it are in shared memory, which cannot be transformed yet"
        known = {(s.file, s.line) for s in places}
        result.refusals.append(
            Finding(
                record_name(old),
                f"its layout changes ({old.size} -> {new.size} bytes), and {where}",
                record_at(old),
                record_at(new),
                details=[
                    *(f"{s.file}:{s.line}: mapped by {s.text}" for s in mapped if (s.file, s.line) not in known),
                    *(f"{s.file}:{s.line}: {s.text}" for s in places),
                ],
            )
        )


def plan_entries(comparison: Comparison, result: Plan) -> None:
    entered = {f.entry: f for f in comparison.new.functions.values() if f.entry is not None}
    result.entries += [Entry(slot, function) for slot, function in entered.items()]
    outside = set(comparison.old.description.outside)
    for function in comparison.old.functions.values():
        if function.entry is None:
            continue
        same = entered.get(function.entry)
        if same is None:
            other = comparison.pair(function)
            result.entries.append(Entry(function.entry, other if other is not None and other.entry else None))
            if other is None:
                result.warnings.append(
                    Finding(
                        f"function {function.name}",
                        "it is gone, but its address was taken: pointers to it go on calling the old version",
                        at(function),
                    )
                )
        elif same.type != function.type and not function.static and function.name in outside:
            change = f"its type changes from '{function.type}' to '{same.type}'"
            text = f"{change}: opaque code that calls it by its name goes on calling it as it was"
            result.warnings.append(Finding(f"function {function.name}", text, at(function), at(same)))
