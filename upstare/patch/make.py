"""Makes a patch out of two executables: compare, plan both ways, report, build, write."""

from __future__ import annotations

from pathlib import Path

from upstare.driver.elf import SECTION_DESCRIPTION, Elf
from upstare.driver.process import Scratch
from upstare.errors import EXIT_UNCHANGED, NotUpdatable, UpstareError
from upstare.model.description import Description, unpack
from upstare.patch.build import Executable, Progress, build_payload
from upstare.patch.compare import Comparison, compare
from upstare.patch.ctree import NEW, OLD
from upstare.patch.file import write_patch
from upstare.patch.mapping import Mapping, read_mapping
from upstare.patch.objects import changed_initials
from upstare.patch.plan import Plan, at, variable_name
from upstare.patch.planner import plan
from upstare.patch.relate import Kind
from upstare.patch.report import Finding, MovedObject, PatchReport, Rollback
from upstare.patch.transformers import Direction
from upstare.patch.twin import twin
from upstare.patch.user import UserTransformers, read_transformers
from upstare.release import ABI


def make_patch(
    old: Path,
    new: Path,
    out: Path,
    mapping: Path | None = None,
    transformers: Path | None = None,
    progress: Progress | None = None,
) -> PatchReport:
    """``out`` is a patch from ``old`` to ``new``, unless the report has open decisions or refusals.

    Raises:
        NotUpdatable: one of the executables cannot be updated at all.
        UpstareError: both are of the same sources (exit code 4), they do not fit together, or a step failed.
    """
    before, after = read_executable(old), read_executable(new)
    verify_pair(before, after)
    decided = read_mapping(mapping) if mapping is not None else Mapping()
    typedefs = [t.typedef for e in (before, after) for t in e.description.types.values() if t.typedef]
    user = (
        read_transformers(transformers, [*typedefs, *(f"old_{name}" for name in typedefs)])
        if transformers is not None
        else UserTransformers()
    )
    report, forward, backward = propose(before.description, after.description, decided, user)
    _note_initials(report, before, after)
    report.warnings += changed_libraries(before.description, after.description)
    if not report.possible:
        return report
    with Scratch() as scratch:
        payload, report.generated = build_payload(before, after, forward, backward, Path(scratch), progress)
    old_twin = b"" if before.description.clones else twin(before, progress).read_bytes()
    report.file = str(out)
    header = {
        "from_build": report.from_build,
        "to_build": report.to_build,
        "program": report.program,
        "from_version": report.from_version,
        "to_version": report.to_version,
        "abi": ABI,
        "scheme": after.description.scheme,
        "report": {name: value for name, value in report.as_dict().items() if name not in ("file", "size")},
    }
    report.size = write_patch(out, header, payload, old_twin)
    return report


def _note_initials(report: PatchReport, old: Executable, new: Executable) -> None:
    """Say which variables have another initialiser, but stay, and with them their values."""
    known = {v.symbol: v for v in old.description.variables if not v.thread_local}
    both = {v.symbol: v for v in new.description.variables if v.symbol in known}
    for symbol in changed_initials(old.path, new.path, {name: v.size for name, v in both.items()}):
        report.notes.append(
            Finding(
                f"variable {variable_name(both[symbol])}",
                "its initial value changes, but it stays what it is in a running process",
                at(known[symbol]),
                at(both[symbol]),
            )
        )


def changed_libraries(old: Description, new: Description) -> list[Finding]:
    """What is said of opaque libraries of the program's own that are others now: an update leaves them alone."""
    known = {library.name: library.digest for library in old.libraries if library.digest}
    return [
        Finding(
            library.name,
            "the library is opaque and differs: a running process keeps the one that it has loaded",
            hint="build both versions with UPSTARE_LIBRARIES=versioned to update it with the program",
        )
        for library in new.libraries
        if library.digest != known.get(library.name, library.digest)
    ]


def read_executable(path: Path) -> Executable:
    """An updateable executable with its description.

    Raises:
        NotUpdatable: it is an executable, but not an updateable one, or one that was stripped of its description.
        UpstareError: it is no executable, or of another ABI.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UpstareError(f"cannot read {path}: {error.strerror or error}") from error
    if data[:4] != b"\x7fELF":
        raise UpstareError(f"{path} is not an ELF executable")
    elf = Elf(data, str(path))
    container = elf.section(SECTION_DESCRIPTION)
    if container is None:
        if any(symbol.name.startswith("upstare_") for symbol in elf.symbols(".dynsym")):
            raise NotUpdatable(
                f"{path} was built with upstare cc but stripped of its version description",
                hint="do not remove the sections .upstare.* when stripping (plain strip keeps them)",
            )
        raise NotUpdatable(
            f"{path} was not built with upstare cc", hint='build it with CC="upstare cc" to make it updateable'
        )
    description = unpack(container)
    if description.abi != ABI:
        raise UpstareError(
            f"{path} was built for ABI {description.abi} of UpStare; this one speaks ABI {ABI}",
            hint="build it again with this release",
        )
    return Executable(path, description, container)


def verify_pair(old: Executable, new: Executable) -> None:
    """Raises UpstareError if there cannot be a patch from one to the other."""
    if old.description.sources == new.description.sources:
        same = f"{old.path} and {new.path} have the same sources: nothing changed"
        stay = changed_libraries(old.description, new.description)
        raise UpstareError("; ".join([same, *(f.sentence() for f in stay)]), exit_code=EXIT_UNCHANGED)
    versioned = {library.name: library.versioned for library in old.description.libraries}
    for library in new.description.libraries:
        if versioned.get(library.name, library.versioned) != library.versioned:
            ours, theirs = ("opaque", "versioned") if library.versioned else ("versioned", "opaque")
            raise NotUpdatable(
                f"{library.name} is {ours} in {old.path} and {theirs} in {new.path}: there would be two of its state",
                hint="build both with the same UPSTARE_LIBRARIES",
            )
    if old.description.scheme != new.description.scheme:
        raise UpstareError(
            f"{old.path} was built with the scheme '{old.description.scheme}', {new.path} with "
            f"'{new.description.scheme}'",
            hint="build both with the same UPSTARE_SCHEME",
        )
    if not old.description.units or not new.description.units:
        raise NotUpdatable(f"{(new if old.description.units else old).path} holds no units")


def propose(
    old: Description, new: Description, mapping: Mapping, user: UserTransformers
) -> tuple[PatchReport, Direction, Direction]:
    """Everything that can be said without building: the report, and both ways of the patch."""
    comparison = compare(old, new, mapping)
    there, relations = plan(comparison, user)
    back_comparison = comparison.reverse()
    back_user = user.reverse()
    back, back_relations = plan(back_comparison, back_user)
    impossible, back_missing = _sort_out(back)
    reason = f"this update cannot be rolled back: {impossible[0].sentence()}" if impossible else None
    report = PatchReport(new.program, old.version, new.version, old.build, new.build)
    _fill(report, comparison, there)
    report.rollback = Rollback(0 if impossible else len(back.continuations), back_missing, impossible)
    for function in user.unused():
        report.warnings.append(
            Finding(function.name, "nothing that changes has this name", new=f"{user.path}:{function.line}")
        )
    forward = Direction("forward", OLD, NEW, there, relations, user)
    backward = Direction("backward", NEW, OLD, back, back_relations, back_user, reason)
    return report, forward, backward


def _sort_out(back: Plan) -> tuple[list[Finding], list[Finding]]:
    """What makes the way back impossible as a whole, and the frames that have none."""
    impossible = [*back.refusals, *back.object_decisions]
    missing = [*back.missing, *back.decisions]
    for finding in (*impossible, *missing):
        finding.old, finding.new = finding.new, finding.old
        finding.hint = None
    return impossible, missing


def _fill(report: PatchReport, comparison: Comparison, there: Plan) -> None:
    for old, new in comparison.changed():
        before, after = f"{old.unit}:{old.name}", f"{new.unit}:{new.name}"
        report.changed.append(after if before == after else f"{before} -> {after}")
    report.added = [f"{f.unit}:{f.name}" for f in comparison.added()]
    report.removed = [f"{f.unit}:{f.name}" for f in comparison.removed()]
    report.unchanged = comparison.unchanged()
    report.bound_variables = there.bound
    report.added_variables = [f"{v.file}:{v.line}: {variable_name(v)}" for v in there.initials]
    report.removed_variables = [f"{v.file}:{v.line}: {variable_name(v)}" for v in there.removed]
    for move in there.moves:
        by_user = move.relation.kind is Kind.USER and move.relation.user is not None
        report.moved_variables.append(
            MovedObject(
                variable_name(move.new),
                move.old.type_name,
                move.new.type_name,
                move.old.size,
                move.new.size,
                at(move.old),
                at(move.new),
                move.relation.user.name if by_user and move.relation.user else "generated",
            )
        )
    report.mapped = len(there.continuations)
    report.transformed = sum(not c.copy for c in there.continuations)
    report.missing = there.missing
    report.decisions = [*there.object_decisions, *there.decisions]
    report.refusals = there.refusals
    report.warnings = there.warnings
    report.notes = there.notes
