"""Records that processes send each other, when their layout changes: what is on its way during the update is in the old
format, and only a person knows what the new version makes of it."""

from __future__ import annotations

from upstare.model.description import Message
from upstare.patch.compare import Comparison
from upstare.patch.plan import Plan, record_at, record_name
from upstare.patch.relate import Relations, normal, tag_of
from upstare.patch.report import Finding
from upstare.patch.user import IN_FLIGHT, UserTransformers


def check_messages(comparison: Comparison, relations: Relations, user: UserTransformers, result: Plan) -> None:
    """Ask about messages in flight, unless a function counts them or both versions understand both formats."""
    compatible = {normal(key) for key in comparison.mapping.messages}
    found = comparison.old.description.messages
    for old, new in relations.changed_records():
        places = [message for message in found if normal(message.record) == normal(old.key)]
        if not places or tag_of(old) in user.checks:
            continue
        if normal(old.key) in compatible:
            compatible.discard(normal(old.key))
            continue
        result.object_decisions.append(
            Finding(
                record_name(old),
                f"messages of this type are {_said(places)}; its layout changes ({old.size} -> {new.size} bytes), and "
                "some may be on their way when the update happens",
                record_at(old),
                record_at(new),
                hint=f"write {IN_FLIGHT}{tag_of(old)}, which counts them (see --transformers)\n"
                f'or, if both versions understand both formats: [messages] "{old.key}" = "compatible"',
            )
        )
    known = {normal(message.record) for message in found}
    for key in sorted(compatible - known):
        text = f"{comparison.mapping.path} speaks of messages of this type, but none are seen to be sent or received"
        result.warnings.append(Finding(key, text))


def _said(places: list[Message]) -> str:
    """Where they are sent and received."""
    by_call: dict[str, list[str]] = {}
    for message in places:
        by_call.setdefault(f"{message.how} by {message.call}", []).append(f"{message.file}:{message.line}")
    return ", ".join(f"{how} ({', '.join(dict.fromkeys(at))})" for how, at in by_call.items())
