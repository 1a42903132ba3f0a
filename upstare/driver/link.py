"""The link step: first what the real compiler does, then the same program once more, made updateable.

The normal link runs exactly as it was asked for, so its diagnostics, exit code and side files are the compiler's. It
also finds out which units the program is made of: the linker has put their records into the output. The transform
makes new objects of these units; the second link has each of them in the place of the original. If anything of ours
fails, the output is removed: a program that was linked through us is updateable or is not there.
"""

from __future__ import annotations

import gc
import os
import signal
import sys
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

from upstare.driver import args, elf, embed, inputs, options, process, reach, relocations, unreachable
from upstare.driver.args import Command
from upstare.driver.cache import inside
from upstare.driver.compiler import ask, expect_question
from upstare.driver.inputs import Input, Part
from upstare.driver.libraries import Libraries
from upstare.driver.library import describe_library
from upstare.driver.prepare import remember
from upstare.driver.progress import LinkProgress
from upstare.driver.runtime import SEGMENT, WRAP_JUMPS
from upstare.driver.sections import add_sections
from upstare.errors import NotUpdatable, UpstareError, UsageError
from upstare.model.unit import Options, Unit

if TYPE_CHECKING:
    from upstare.build import Image
    from upstare.model.description import Linked
    from upstare.model.outline import Outline

SCHEMES = ("trap", "flag")
PLACEMENTS = ("default", "strict", "2009")
CLONES = ("apart", "inside")

# Where the C library's start-up code enters the program; the runtime goes in between.
START = "__libc_start_main"

_RESPONSE_FILE_FROM = 100_000  # bytes of command line from which the second link takes a response file

BuildImage = Callable[
    [Sequence[Unit], Options, Path, str, str, Callable[[str, int, int], None] | None], "Image"
]


@dataclass(frozen=True)
class Makers:
    """The parts of UpStare that the link step calls; tests put simpler ones here."""

    image: BuildImage
    table: Callable[[Path, Outline, str], bytes]
    runtime: Callable[[Sequence[str], Collection[str]], Path]


def makers() -> Makers:
    """The real ones. What describes a program is imported when the second link is at work."""
    from upstare.build import build_image
    from upstare.driver.runtime import runtime_object

    return Makers(build_image, _build_table, runtime_object)


def _build_table(program: Path, outline: Outline, build: str) -> bytes:
    from upstare.points.table import build_table

    return build_table(program, outline, build)


def link(command: Command, compiler: Sequence[str], plain: process.Child, use: Makers | None = None) -> int:
    """Link as the real compiler does; a program that holds units is made updateable. The exit code is the compiler's.

    Args:
        command: what is linked.
        compiler: the real one.
        plain: the real one at work on the command.
        use: other makers.

    Raises:
        NotUpdatable: the program holds units but cannot be made updateable.
        UpstareError: a step of ours failed. The output is removed in both cases.
    """
    gc.set_threshold(500_000, 20, 100)  # much is made here and little thrown away
    files = _Files(command, compiler)
    if files.have_units and not (_is_shared(command) or _is_relocatable(command)):
        expect_question(compiler)
        use = use or makers()
    code = plain.wait()
    output = Path(command.output or "a.out")
    if code != 0 or not output.is_file():
        return code
    if _is_shared(command):
        _warn(output, command.words(args.LTO))
        with _removed_unless_done(output):
            describe_library(command, compiler, output)
        return 0
    with _removed_unless_done(output):
        with output.open("rb") as file:
            program_is_elf = elf.is_elf(file.read(4))
        if not program_is_elf:
            return 0  # an image for something other than this system (--oformat=binary)
        if _is_relocatable(command):
            _carry_units(command, compiler, output, files)
        else:
            _Link(command, compiler, output, files).run(use)
    return 0


class _Files:
    """What the linker reads, looked at while the plain link runs: what is wrong with it counts if that succeeds."""

    def __init__(self, command: Command, compiler: Sequence[str]) -> None:
        self._found: list[Input] | UpstareError | OSError
        try:
            self._found = inputs.collect(command, compiler)
        except (UpstareError, OSError) as error:
            self._found = error

    @property
    def have_units(self) -> bool:
        """Whether there is a unit in one of them."""
        return isinstance(self._found, list) and any(p.units for f in self._found for p in f.parts)

    def get(self) -> list[Input]:
        """All of them. Raises what was wrong."""
        if not isinstance(self._found, list):
            raise self._found
        return self._found


class _Link:
    """One program on its way from linked to updateable."""

    def __init__(self, command: Command, compiler: Sequence[str], output: Path, files: _Files) -> None:
        self.command = command
        self.compiler = compiler
        self.output = output
        self.files = files
        with output.open("rb") as file:
            if file.read(5)[4:] != bytes([elf.CLASS_64]):
                raise NotUpdatable(f"{output} is a 32-bit program; only 64-bit programs can be made updateable")
        self.first = elf.read(output)

    def run(self, use: Makers | None) -> None:
        """Leave a program without units alone; replace one with units by the updateable program."""
        records = self.first.section(elf.SECTION_UNIT)
        if records is None and not self.command.c_sources:
            return
        self.verify_possible()
        with process.Scratch() as scratch, LinkProgress(self.output.name) as progress:
            work = Path(scratch)
            sources = self.compile_sources(work)
            units = _distinct([*sources.values(), *embed.decode(records or b"", str(self.output))])
            files = self.files.get() + self.compile_others(work)
            self.verify_known(units, files, sources)
            needed = self.first.dynamic(elf.DT_NEEDED)
            shared = Libraries(self.output, needed, files, inputs.search_directories(self.command))
            units = self.with_libraries(units, shared)
            self.verify_options(units)
            use = use or makers()
            c_library = relocations.start_question(self.compiler, self.command.words(args.COMMON))
            opaque = [p for f in files for p in f.parts if not p.units]
            choices = self.choices(units, opaque, shared)
            arguments = self.libraries(files, shared)
            name = self.output.name
            version = os.environ.get("UPSTARE_VERSION") or name
            image = use.image(units, choices, work, name, version, progress.report)
            progress.report("link", 0, 1)
            shared.prepare(image.objects, inputs.opaque_parts(files, self.first), work)
            self.lead_to_entries(files, image, work)
            image.extra_objects.extend(shared.list_names(self.compiler, work))
            words = self.second_link(files, sources, shared, image, work)
            runtime = use.runtime(self.compiler, self.mentioned(opaque, image))
            words += [*map(str, image.extra_objects), str(runtime)]
            words += [f"-Wl,--wrap={START}", *WRAP_JUMPS]
            words += self.exports(opaque, shared, image, work)
            words += ["-Wl,--no-gc-sections", "-ldl", "-pthread"]
            words += self.resume_segment(work)
            # The user's own choice comes behind ours, and counts.
            words = [*relocations.pack(c_library), *words]
            with self.replacement() as program:
                unreachable = self.relink(words, program, work, partial(self.describe, image))
                from upstare.model.description import Linked  # known since the linker was at work

                outline = image.described.outline
                elf.lead_to_entries(program)
                build = elf.seal(program, outline.sources)
                linked = Linked(build, name, version, arguments, shared.describe(), unreachable)
                sections = {
                    elf.SECTION_POINTS: use.table(program, outline, build),
                    elf.SECTION_DESCRIPTION: self.pack(linked, image, units),
                    **({} if choices.clones else {elf.SECTION_MAKER: maker(build)}),
                }
                add_sections(program, sections, remove=[elf.SECTION_NOTES, elf.SECTION_UNIT])
                elf.withhold_segment(program, (elf.SECTION_UPDATE, elf.SECTION_RESUME))
                if any(t.kind == args.STRIP for t in self.command.tokens):
                    process.check(["strip", "--strip-all", str(program)], f"strip {self.output}")
            remember(units, choices, outline, self.output)
            progress.report("link", 1, 1)

    def describe(self, image: Image) -> None:
        """What takes its time and needs no program: done while the linker is at work."""
        import upstare.model.description
        import upstare.points.table  # noqa: F401

        _ = image.described.outline

    def pack(self, linked: Linked, image: Image, units: Sequence[Unit]) -> bytes:
        """The container of the description, with the records of its units."""
        from upstare.driver.record import payload
        from upstare.model.description import pack

        by_digest = {u.digest: u for u in units}
        records = [payload(by_digest[u.digest]) for u in image.described.outline.units]
        return pack(linked, image.described.body, records)

    def verify_possible(self) -> None:
        """Raises NotUpdatable for programs that cannot be."""
        if not any(s.name == ".interp" for s in self.first.sections):
            raise NotUpdatable(
                f"{self.output} is statically linked: it cannot load a new version",
                hint="link it without -static; static libraries are all right",
            )
        if not any(s.name == START for s in self.first.symbols(".dynsym")):
            raise NotUpdatable(
                f"{self.output} does not start through the C library's {START} (linked with -nostartfiles?)"
            )

    def verify_options(self, units: Sequence[Unit]) -> None:
        """Raises NotUpdatable for units with an option that an updateable program cannot have; names those left out."""
        for unit in units:
            refused = options.refusal(unit.flags)
            if refused is not None:
                option, reason = refused
                raise NotUpdatable(
                    f"{unit.path} is compiled with {option}: {reason}",
                    hint="leave the option away, or build this program with the plain compiler",
                )
        _warn(self.output, [flag for unit in units for flag in unit.flags])

    def compile_sources(self, work: Path) -> dict[int, Unit]:
        """The units of the C sources on the command line, by the identity of their tokens."""
        passes = [(s, embed.start_preprocessor(self.command, s, self.compiler)) for s in self.command.c_sources]
        flags = self.command.recompile_flags()
        units: dict[int, Unit] = {}
        for source, child in passes:
            text = embed.source_text(source, child, child.wait() if child is not None else 0)
            units[id(source)] = embed.make_unit(source.value, flags, self.compiler, text)
        return units

    def compile_others(self, work: Path) -> list[Input]:
        """The objects of sources in other languages, at the places of their tokens."""
        made: list[Input] = []
        for number, token in enumerate(self.command.inputs):
            if token.language is None or token.language in (args.C, args.C_PREPROCESSED):
                continue
            target = work / f"other{number}.o"
            words = self.command.words(args.COMMON, args.COMPILE, args.PREPROCESS)
            language = ["-x", token.language] if token.explicit else []
            command = [*self.compiler, *words, "-w", "-c", *language, token.value, "-o", str(target)]
            process.check(command, f"compile {token.value} a second time")
            made.append(Input(token, target, "object", [Part(token.value, target.read_bytes())]))
        return made

    def verify_known(self, units: Sequence[Unit], files: Sequence[Input], sources: dict[int, Unit]) -> None:
        """Every unit of the program comes from a place that we can replace."""
        known = {d for f in files for p in f.parts for d in p.units} | {u.digest for u in sources.values()}
        for unit in units:
            if unit.digest not in known:
                raise UpstareError(
                    f"cannot tell which file on the command line brought {unit.path} into {self.output}",
                    hint="name its object or archive on the command line, not in a linker script",
                )

    def with_libraries(self, units: Sequence[Unit], shared: Libraries) -> list[Unit]:
        """The units of the program and of the libraries that it takes in."""
        brought = [u for library in shared.taken for u in embed.decode(library.units, str(library.path))]
        together = [*units, *brought]
        shared.verify_units([u.digest for u in units], {u.digest: u.path for u in together})
        return _distinct(together)

    def choices(self, units: Sequence[Unit], opaque: Sequence[Part], shared: Libraries) -> Options:
        """The choices for this program: from the environment, its units' compilers, and what opaque objects need."""
        default = "trap" if all(ask(c).takes_traps for c in {u.compiler for u in units}) else "flag"
        return Options(
            scheme=_choice("UPSTARE_SCHEME", SCHEMES, default),
            placement=_choice("UPSTARE_POINTS", PLACEMENTS, "default"),
            clones=_choice("UPSTARE_CLONES", CLONES, "apart") == "inside",
            outside=frozenset(self.outside(opaque) | shared.exported),
        )

    def outside(self, opaque: Sequence[Part]) -> set[str]:
        """The functions and variables that something other than a unit may refer to by name.

        These are what opaque objects refer to or define, and what the normal link exports: to shared libraries on the
        command line, and with -rdynamic to those that the program loads later.
        """
        exported = {s.name for s in self.first.symbols(".dynsym") if s.defined}
        return exported | {s.name for p in opaque for s in p.symbols()}

    def libraries(self, files: Sequence[Input], taken: Libraries) -> list[str]:
        """The arguments that a patch of this program needs to link with the same shared libraries.

        Static libraries are left out: their code and data are in the program, a patch must not bring its own.
        """
        static = {id(f.token) for f in files if f.kind == "archive"}
        shared = {id(f.token): f for f in files if f.kind == "shared"}
        words: list[str] = []
        rpath = False
        for token in self.command.tokens:
            if rpath:
                words += token.words
                rpath = False
            elif id(token) in static:
                continue
            elif id(token) in shared and (library := taken.at(shared[id(token)])) is not None:
                words += taken.arguments(library)
            elif token.kind == args.LIBRARY:
                words.append(f"-l{token.value}")
            elif id(token) in shared:
                words.append(str(shared[id(token)].path.absolute()))
            elif token.words[0] == "-Xlinker" and token.value.lstrip("-") in ("rpath", "rpath-link"):
                words += token.words
                rpath = True
            elif token.kind == args.COMMON or token.words[0].startswith(
                ("-pthread", "-m", "-fsanitize", "-fopenmp", "-fuse-ld", "-static-libgcc", "-shared-libgcc")
            ):
                words += token.words
            elif token.words[0] == "-Xlinker" and token.value.lstrip("-").startswith(("rpath=", "rpath-link=")):
                words += token.words
        return [f"-L{os.path.abspath(d)}" for d in inputs.search_directories(self.command)] + words

    def lead_to_entries(self, files: Sequence[Input], image: Image, work: Path) -> None:
        """Objects without a unit reach the functions of units through their entries, which lead to the current version.

        (The dynamic linker does the same for shared libraries: see :func:`elf.lead_to_entries`.)
        """
        opaque = [(f, p) for f in files for p in f.parts if not p.units]
        if not opaque:
            return
        symbols = (s for path in image.objects.values() for s in elf.read(path).symbols())
        entries = {s.name for s in symbols if s.defined and s.name.startswith(elf.ENTRY)}
        for number, (file, part) in enumerate(opaque):
            found = [s.name for s in part.symbols() if not s.defined and elf.ENTRY + s.name in entries]
            if found:
                copy = work / f"opaque{number}.o"
                copy.write_bytes(part.data)
                words = [f"--redefine-sym={name}={elf.ENTRY}{name}" for name in found]
                process.check(["objcopy", *words, str(copy)], f"let {part.name} call the current version")
                part.data, file.changed = copy.read_bytes(), True

    def second_link(
        self, files: Sequence[Input], sources: dict[int, Unit], shared: Libraries, image: Image, work: Path
    ) -> list[str]:
        """The command line again, with transformed objects in the place of units."""
        at = {id(f.token): f for f in files}
        dropped = (args.OUTPUT, args.DEPENDENCIES, args.LANGUAGE, args.PREPROCESS, args.WARN, args.SIDE, args.STRIP)
        placed: set[str] = set()

        def transformed(digests: Sequence[str]) -> Iterator[str]:
            for digest in digests:
                if digest not in placed and digest in image.objects:
                    placed.add(digest)
                    yield str(image.objects[digest])

        words: list[str] = []
        # A unit that is named and in an archive too is linked where it is named: that object came for certain.
        named = {d for f in files if f.kind == "object" for p in f.parts for d in p.units}
        named |= {u.digest for u in sources.values()}
        for token in self.command.tokens:
            file_here = at.get(id(token))
            if id(token) in sources:
                words += transformed([sources[id(token)].digest])
            elif file_here is not None and (library := shared.at(file_here)) is not None:
                for member in library.family():
                    words += transformed(member.digests)
                words += shared.arguments(library)
            elif file_here is None or file_here.kind in ("shared", "other"):
                words += token.words if token.kind not in dropped else ()
            elif file_here.kind == "object":
                units = file_here.parts[0].units
                words += transformed(units) if units else self.opaque_rest(file_here, work)
            else:
                units = [d for p in file_here.parts for d in p.units if d not in named]
                words += transformed(units)
                words += self.opaque_rest(file_here, work)
        missing = set(image.objects) - placed
        if missing:
            raise UpstareError(f"{len(missing)} units of {self.output} have no place in the second link")
        return words

    def opaque_rest(self, file: Input, work: Path) -> list[str]:
        """A file without the objects that have units: as it is if there are none, nothing if all have."""
        rest = [p for p in file.parts if not p.units]
        if len(rest) == len(file.parts) and not file.changed:
            return [str(file.path)] if file.kind == "object" else list(file.token.words)
        if not rest:
            return []
        if file.kind == "object":
            path = work / f"rest{sum(1 for _ in work.glob('rest*'))}.o"
            path.write_bytes(rest[0].data)
            return [str(path)]
        path = work / f"rest{sum(1 for _ in work.glob('rest*'))}.a"
        elf.write_archive(path, [elf.Member(f"{number}.o", part.data) for number, part in enumerate(rest)])
        return [str(path)]

    def exports(self, opaque: Sequence[Part], shared: Libraries, image: Image, work: Path) -> list[str]:
        """The arguments that let a patch find what it shares with the program, and others what its libraries export.

        Besides what the transform lists the first are the functions and variables of opaque objects that units refer
        to: the code of a patch must find the program's own.
        """
        defined = {s.name for p in opaque for s in p.symbols() if s.defined}
        wanted: set[str] = set()
        for path in [*image.objects.values(), *image.extra_objects] if defined else []:
            wanted |= {s.name for s in elf.read(path).symbols() if not s.local and not s.defined}
        lists = [image.dynamic_list]
        names = sorted((defined & wanted) | shared.exported)
        if names:
            lists.append("{\n" + "".join(f'  "{name}";\n' for name in names) + "};\n")
        words: list[str] = []
        for number, text in enumerate(lists):
            file = work / f"exports{number}.list"
            file.write_text(text, encoding="utf-8", errors="surrogateescape")
            words.append(f"-Wl,--dynamic-list={file}")
        return words

    def mentioned(self, opaque: Sequence[Part], image: Image) -> set[str]:
        """The names that the program may call the runtime by: what it never calls sleeps until an update."""
        names = reach.mentioned([*image.objects.values(), *image.extra_objects])
        names |= {s.name for p in opaque for s in p.symbols()}
        # Opaque objects may be a compiler's intermediate form.
        return names | {s.name for s in self.first.symbols(".dynsym")}

    def resume_segment(self, work: Path) -> list[str]:
        """The arguments that give what only an update needs a segment of its own.

        Linkers that do not know INSERT leave it in the text.
        """
        if self.command.has("-fuse-ld=gold", "-fuse-ld=mold"):
            return []
        script = work / "resume.ld"
        script.write_text(SEGMENT)
        return [f"-Wl,-T,{script}"]

    def relink(self, words: list[str], program: Path, work: Path, meanwhile: Callable[[], object]) -> list[str]:
        """The second link; ``meanwhile`` is called while it runs. The names that it misses and that the plain program
        never reaches."""
        known = {s.name for s in self.first.symbols()} | {s.name for s in self.first.symbols(".dynsym")}
        names: set[str] = set()
        while True:
            more = unreachable.define(sorted(names), self.compiler, work)
            try:
                self._relink([*words, *more], program, work, meanwhile)
                return sorted(names)
            except UpstareError as error:
                if relocations.refused(error) and words[0] == relocations.ARGUMENT:
                    words = words[1:]
                    continue
                found = unreachable.missed(str(error), known) - names
                if not found:
                    raise
                names |= found

    def _relink(self, words: list[str], program: Path, work: Path, meanwhile: Callable[[], object]) -> None:
        if sum(len(w) + 1 for w in words) > _RESPONSE_FILE_FROM:
            file = work / "link.rsp"
            file.write_text(args.quote(words), encoding="utf-8", errors="surrogateescape")
            words = [f"@{file}"]
        command = [*self.compiler, *words, "-o", str(program)]
        linker = process.start(command, capture=True, capture_errors=True, env={**os.environ, "LC_ALL": "C"})
        try:
            meanwhile()
        finally:
            code = linker.wait()
        process.finish(linker, code, f"link the updateable {self.output}")

    @contextmanager
    def replacement(self) -> Iterator[Path]:
        """A path for a new file that takes the place of the output when the block ends well."""
        path = self.output.with_name(f".{self.output.name}.{os.getpid()}.upstare")
        try:
            yield path
            path.replace(self.output)
        finally:
            path.unlink(missing_ok=True)


def maker(build: str) -> bytes:
    """Where in the cache the storm finds the resume clones of a program that has none, and what it starts if they are
    not there: Python runs ``upstare.patch.twin``."""
    from upstare.release import twin_key

    root = Path(__file__).resolve().parents[2]
    start = f"import sys; sys.path.insert(0, {str(root)!r}); from upstare.patch.twin import main; sys.exit(main())"
    return b"".join(os.fsencode(word) + b"\0" for word in (inside(twin_key(build)), sys.executable, "-c", start))


def _warn(output: Path, flags: Sequence[str]) -> None:
    """Say once for each option that it is left out, and why."""
    for option, reason in options.left_out(flags).items():
        print(f"upstare: warning: {output} is built without {option}: {reason}", file=sys.stderr)


def _carry_units(command: Command, compiler: Sequence[str], output: Path, files: _Files) -> None:
    """The output of a link with -r holds the units of everything in it, and a mark if there is other code, too."""
    result = elf.read(output)
    records = embed.records_of_sources(command, compiler)
    present = result.section(elf.SECTION_UNIT) or b""
    if not present and not records:
        return
    if command.other_sources or inputs.opaque_parts(files.get(), result):
        records.append(embed.opaque_record())
    if records:
        add_sections(output, {elf.SECTION_UNIT: present + b"".join(records)})


@contextmanager
def _removed_unless_done(output: Path) -> Iterator[None]:
    """The output is removed if the block does not end well, an interrupt from outside included."""

    def end(number: int, _: FrameType | None) -> None:
        sys.exit(128 + number)

    before = {number: signal.signal(number, end) for number in (signal.SIGTERM, signal.SIGHUP)}
    done = False
    try:
        yield
        done = True
    finally:
        if not done:
            process.remove(output)
        for number, handler in before.items():
            signal.signal(number, handler)


def _distinct(units: Sequence[Unit]) -> list[Unit]:
    return list({u.digest: u for u in units}.values())


def _is_shared(command: Command) -> bool:
    return command.has("-shared", "--shared", "-Bshareable")


def _is_relocatable(command: Command) -> bool:
    return command.has("-r", "--relocatable", "-i", "-Ur")


def _choice(variable: str, allowed: Sequence[str], default: str) -> str:
    value = os.environ.get(variable) or default
    if value not in allowed:
        import shlex

        raise UsageError(f"{variable} is {shlex.quote(value)}; it can be {', '.join(allowed)}")
    return value
