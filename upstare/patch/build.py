"""Builds the shared object of a patch: the new image, its transformers and tables, checked before it is written."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from upstare.driver import process, unreachable
from upstare.driver.elf import (
    SECTION_DESCRIPTION,
    SECTION_NOTES,
    SECTION_POINTS,
    STT_TLS,
    bind_late,
    lead_to_entries,
    read,
    read_section,
)
from upstare.driver.runtime import WRAP_JUMPS, include_directory
from upstare.driver.sections import add_sections
from upstare.errors import UpstareError
from upstare.model.description import Description, unit_text
from upstare.model.unit import Options, Unit
from upstare.patch.objects import ObjectIndex
from upstare.patch.transformers import Direction, generate
from upstare.points.bindings import read_bindings

if TYPE_CHECKING:
    from upstare.build import Image

SECTION_OLD_POINTS = ".upstare.oldpoints"

Progress = Callable[[str, int, int], None]

_FLAGS = (
    "-std=gnu11 -O1 -fPIC -fvisibility=hidden -fno-strict-aliasing -fno-lto "
    "-Werror=incompatible-pointer-types -Werror=implicit-function-declaration -Werror=int-conversion"
).split()


@dataclass(frozen=True)
class Executable:
    """An updateable executable: its file, its description, and the bytes that hold it."""

    path: Path
    description: Description
    container: bytes

    def units(self) -> list[Unit]:
        """The units that it was made of."""
        return [
            Unit(u.source, unit_text(self.container, u), tuple(u.flags), tuple(u.compiler), u.digest)
            for u in self.description.units
        ]


def build_payload(
    old: Executable,
    new: Executable,
    forward: Direction,
    backward: Direction,
    work: Path,
    progress: Progress | None = None,
) -> tuple[bytes, str]:
    """The shared object of the patch, and the C source of its transformers.

    Raises:
        UpstareError: a step failed, or the result would not load into the old program.
    """
    image = build_shared(new, work, progress)
    objects = ObjectIndex([*image.objects.values()])
    try:
        plan = forward.plan
        pristine = objects.pristine([*plan.initials, *(move.new for move in plan.moves)])
        objects.add_entries(entry.function for entry in plan.entries if entry.function is not None)
        paths = objects.apply(work)
    finally:
        objects.close()
    source = generate(old.description, new.description, forward, backward, pristine)
    tables = compile_transformers(source, new.description.units[0].compiler, work)
    result = link_shared(old, new, image, [*paths, tables], work)
    add_tables(result, old, image, new.description.build, {SECTION_DESCRIPTION: new.container})
    return result.read_bytes(), source


def link_shared(old: Executable, new: Executable, image: Image, objects: Sequence[Path], work: Path) -> Path:
    """The shared object that brings an image of ``new`` into a process of ``old``, without its tables.

    Args:
        old: what the process runs.
        new: what the image was made of.
        image: made by :func:`build_shared`.
        objects: those of the image, and more.
        work: a directory.

    Raises:
        UpstareError: it does not link, or would not load into the old program.
    """
    compiler = list(new.description.units[0].compiler)
    result = work / "patch.so"
    # Functions belong to their image, variables and stable entries to the process: -Bsymbolic-functions alone would
    # bind the entries, too, because they have no type. Plug-ins that are opened from now on see what they would see if
    # the new version had been started: no other function, whose name may be one of their own.
    shared, seen = work / "shared.list", work / "seen.version"
    shared.write_text(image.dynamic_list)
    names = [image.dynamic_list.strip("{}; \n"), "upstare_patch", *(f'"{name}"' for name in new.description.outside)]
    seen.write_text(f"{{ global: {'; '.join(names)}; local: *; }};\n")
    binding = ["-Wl,-Bsymbolic-functions", f"-Wl,--dynamic-list={shared}", f"-Wl,--version-script={seen}"]
    words = [*map(str, [*objects, *image.extra_objects]), *WRAP_JUMPS, *new.description.link]
    elf = read(new.path)
    known = {s.name for table in (".symtab", ".dynsym") for s in elf.symbols(table)}
    never = set(new.description.unreachable)
    while True:
        more = unreachable.define(sorted(never), compiler, work)
        command = [*compiler, "-shared", "-fPIC", "-fno-lto", *binding, "-o", str(result), *words, *more]
        process.check(command, "link the new image")
        lead_to_entries(result)
        try:
            _verify_symbols(result, old, new, compiler, work)
            break
        except UpstareError as error:
            found = unreachable.missed(str(error), known) - never
            if not found:
                raise
            never |= found
    bind_late(result)
    return result


def compile_transformers(source: str, compiler: Sequence[str], work: Path) -> Path:
    """The object of a generated source.

    Raises:
        UpstareError: it does not compile; then the user's transformers or the mapping file hold a mistake.
    """
    file, result = work / "transformers.c", work / "transformers.o"
    file.write_text(source)
    command = [*compiler, *_FLAGS, f"-I{include_directory()}", "-c", str(file), "-o", str(result)]
    process.check(command, "compile the state transformers")
    return result


def build_shared(new: Executable, work: Path, progress: Progress | None, *, twin: bool = False) -> Image:
    """The image of an executable as a patch has it, or as the twin of the executable.

    Raises:
        UpstareError: it cannot be built, or not by this release.
    """
    from upstare.build import build_image

    description = new.description
    options = Options(
        scheme=description.scheme,
        placement=description.placement,
        shared=True,
        twin=twin,
        outside=frozenset(description.outside),
    )
    image = build_image(
        new.units(), options, work, description.program, description.version, progress, description.build,
    )  # fmt: skip
    if image.described.outline.sources != description.sources:
        raise UpstareError(
            f"the new image is not the one in {new.path}",
            hint="build the new executable again with this release of UpStare",
        )
    return image


def add_tables(result: Path, old: Executable, image: Image, build: str, more: Mapping[str, bytes]) -> None:
    """The image that :func:`link_shared` made has its point table, that of the old version, and more sections.

    Args:
        result: the linked image.
        old: what the process runs.
        image: what ``result`` was made of.
        build: the version that it stands for.
        more: sections.

    Raises:
        UpstareError: the old version has lost its table.
    """
    from upstare.points.table import build_table

    points = build_table(result, image.described.outline, build)
    before = read_section(old.path, SECTION_POINTS)
    if before is None:
        raise UpstareError(f"{old.path} has lost its point table ({SECTION_POINTS})", hint="build it again")
    add_sections(result, {SECTION_POINTS: points, SECTION_OLD_POINTS: before, **more}, remove=[SECTION_NOTES])


def _verify_symbols(result: Path, old: Executable, new: Executable, compiler: list[str], work: Path) -> None:
    """The patch finds everything it refers to, in the old program or in its libraries.

    A stub with the symbols of the old program that patches see stands for it: executables cannot be linked against.
    """
    lines = [".text"]
    for name, is_thread_local in _exported(old.path):
        section = '.section .tbss,"awT",@nobits' if is_thread_local else ".data"
        kind = "@tls_object" if is_thread_local else "@object"
        lines += [section, f'.globl "{name}"', f'.type "{name}", {kind}', f'"{name}": .zero 1']
    lines.append('.section .note.GNU-stack,"",@progbits')
    stub, source = work / "program.so", work / "program.s"
    source.write_text("\n".join(lines) + "\n")
    process.check([*compiler, "-shared", "-nostdlib", "-o", str(stub), str(source)], "describe the old program")
    files = [str(work / "trial.so"), "-Wl,--no-as-needed", str(result), str(stub)]
    trial = [*compiler, "-shared", "-fno-lto", "-o", *files]
    try:
        process.check(
            [*trial, "-Wl,--no-allow-shlib-undefined", *new.description.link], "resolve the symbols of the new image"
        )
    except UpstareError as error:
        raise UpstareError(f"the new version needs something that the old program does not have: {error}") from error


def _exported(path: Path) -> list[tuple[str, bool]]:
    """The names that an executable shares with patches, and whether each is thread-local."""
    known = [(s.name, s.type == STT_TLS) for s in read(path).symbols(".dynsym") if s.defined]
    return known + [(name, False) for name in read_bindings(path)]
