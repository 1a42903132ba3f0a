"""What the patch maker found: every problem, each with the places in both versions, then the verdict."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any

from rich.console import Console
from rich.markup import escape

from upstare.errors import EXIT_DONE, EXIT_NOT_UPDATABLE


@dataclass
class Finding:
    """One thing to tell.

    Attributes:
        subject: what it is about, e.g. ``main: local nreq``.
        text: what is the matter, without a full stop.
        old: ``file:line`` in the old version, or None.
        new: ``file:line`` in the new version, or None.
        hint: what to write into the mapping file, or what else to do.
        details: more places, one a line.
    """

    subject: str
    text: str
    old: str | None = None
    new: str | None = None
    hint: str | None = None
    details: list[str] = field(default_factory=list)

    def sentence(self) -> str:
        """Places, subject and text on one line, as compilers write it."""
        if self.old and self.new:
            places = f"{self.old} -> {self.new}: "
        else:
            places = f"{self.old or self.new}: " if self.old or self.new else ""
        return f"{places}{self.subject}: {self.text}"


@dataclass
class MovedObject:
    """An object with static storage whose type changes."""

    name: str
    old_type: str
    new_type: str
    old_size: int
    new_size: int
    old: str
    new: str
    transformer: str  # 'generated' or the name of the user's function


@dataclass
class Rollback:
    """What the patch can do on the way back. ``impossible`` has the reasons if it cannot be done at all."""

    mapped: int = 0
    missing: list[Finding] = field(default_factory=list)
    impossible: list[Finding] = field(default_factory=list)


@dataclass
class PatchReport:
    """The answer of ``upstare patch``.

    Attributes:
        decisions: what only a person can decide. No patch is written while one is open.
        refusals: why the program cannot take this update at all, with this release. No patch is written.
        missing: old continuations without a new one; an update is refused while a frame is at one.
        warnings: what else can keep the update from being applied, or may be a surprise.
        notes: choices that were made, to be looked over.
    """

    program: str
    from_version: str
    to_version: str
    from_build: str
    to_build: str
    changed: list[str] = field(default_factory=list)
    added: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)
    unchanged: int = 0
    bound_variables: int = 0
    added_variables: list[str] = field(default_factory=list)
    removed_variables: list[str] = field(default_factory=list)
    moved_variables: list[MovedObject] = field(default_factory=list)
    mapped: int = 0
    transformed: int = 0
    missing: list[Finding] = field(default_factory=list)
    decisions: list[Finding] = field(default_factory=list)
    refusals: list[Finding] = field(default_factory=list)
    warnings: list[Finding] = field(default_factory=list)
    notes: list[Finding] = field(default_factory=list)
    rollback: Rollback = field(default_factory=Rollback)
    file: str | None = None
    size: int = 0
    generated: str = ""  # the C source of the state transformers

    @property
    def possible(self) -> bool:
        """Whether a patch can be made."""
        return not self.decisions and not self.refusals

    @property
    def outcome(self) -> str:
        """'made', 'refused' (not updatable) or 'undecided'."""
        if self.refusals:
            return "refused"
        return "undecided" if self.decisions else "made"

    @property
    def reason(self) -> str | None:
        """Why there is no patch, in one sentence."""
        if self.possible:
            return None
        parts = []
        if self.refusals:
            parts.append(f"{_count(len(self.refusals), 'change')} cannot be applied to a running process")
        if self.decisions:
            parts.append(f"{_count(len(self.decisions), 'decision')} must be made by a person")
        return " and ".join(parts)

    @property
    def exit_code(self) -> int:
        """The exit code of the command line contract."""
        return EXIT_DONE if self.possible else EXIT_NOT_UPDATABLE

    def as_dict(self) -> dict[str, Any]:
        """The object that ``--json`` prints."""
        result = dataclasses.asdict(self)
        del result["generated"]
        return {"outcome": self.outcome, "reason": self.reason, **result}


_HINTED = 8  # a longer list of findings is printed without hints, which are all alike


def show(report: PatchReport, console: Console) -> None:
    """Print the report for people."""

    def say(text: str, style: str = "") -> None:
        console.print(f"[{style}]{text}[/]" if style else text, soft_wrap=True, highlight=False, emoji=False)

    def findings(title: str, items: list[Finding], style: str) -> None:
        if not items:
            return
        say("")
        say(f"{title} ({len(items)})", style)
        for item in items:
            say(f"  {escape(item.sentence())}")
            for detail in item.details:
                say(f"      {escape(detail)}", "dim")
            for line in (item.hint or "").splitlines() if len(items) <= _HINTED else ():
                say(f"      {escape(line)}", "cyan")

    say(f"{escape(report.program)}: {escape(report.from_version)} -> {escape(report.to_version)}", "bold")
    say(
        f"functions: {len(report.changed)} changed, {len(report.added)} added, {len(report.removed)} removed, "
        f"{report.unchanged} unchanged"
    )
    for title, names in (("changed", report.changed), ("added", report.added), ("removed", report.removed)):
        if names:
            say(f"  {title}: {escape(_shortened(names))}", "dim")
    say(
        f"variables: {report.bound_variables} stay, {len(report.moved_variables)} change their type, "
        f"{len(report.added_variables)} added, {len(report.removed_variables)} removed"
    )
    for moved in report.moved_variables:
        say(
            f"  {escape(moved.name)}: {escape(moved.old_type)} ({moved.old_size} bytes, {escape(moved.old)}) -> "
            f"{escape(moved.new_type)} ({moved.new_size} bytes, {escape(moved.new)}), {escape(moved.transformer)}",
            "dim",
        )
    total = report.mapped + len(report.missing)
    say(f"continuations: {report.mapped} of {total} mapped, {report.transformed} of them with changed locals")
    findings("notes", report.notes, "bold")
    findings("no continuation: an update is refused while a frame is here", report.missing, "bold yellow")
    findings("warnings", report.warnings, "bold yellow")
    back = report.rollback
    findings("this update cannot be rolled back", back.impossible, "bold yellow")
    if not back.impossible:
        findings("no way back: a rollback is refused while a frame is here", back.missing, "yellow")
    findings("not updatable", report.refusals, "bold red")
    findings("decisions to be made (see --mapping and --transformers)", report.decisions, "bold red")
    say("")
    if report.reason:
        say(f"no patch: {escape(report.reason)}", "bold red")
    elif report.file:
        say(f"{escape(report.file)}: {report.size} bytes", "bold green")


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _shortened(names: list[str], limit: int = 12) -> str:
    more = len(names) - limit
    return ", ".join(names[:limit]) + (f" and {more} more" if more > 0 else "")
