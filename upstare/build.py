"""From the units of a program to the objects of one image: summarise, decide, transform, compile."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from upstare.driver import process
from upstare.driver.elf import UNIT_NAMES
from upstare.kept import Kept
from upstare.points.keep import References, keep_source
from upstare.release import ABI
from upstare.units import Progress, Team, UnitObject, UnitWork
from upstare.workers import Beside

if TYPE_CHECKING:
    from upstare.decide import Decided
    from upstare.model.description import Description
    from upstare.model.outline import Outline
    from upstare.model.unit import Options, Unit

DYNAMIC_LIST = "{ " + "".join(f"{name}*; " for name in UNIT_NAMES) + "};\n"  # of what is thread-local, and of patches


class Described:
    """How an image is described. What is asked for takes its time: ask while something else is at work.

    Args:
        units: of the image.
        options: of the image.
        decided: what was decided on them, unless that was kept.
        kept: where it is kept.
    """

    def __init__(self, units: Sequence[Unit], options: Options, decided: Decided | None, kept: Kept) -> None:
        self._units, self._options, self._decided, self._kept = units, options, decided, kept
        self._packing: Beside[bytes] | None = None

    @functools.cached_property
    def description(self) -> Description:
        """The description, without what is known only since the link."""
        if self._decided is None:
            from upstare.model.description import Linked, from_json
            from upstare.model.packed import inflate

            return from_json(inflate(self._kept.body), vars(Linked("", "", "", [])))
        from upstare.decide import describe

        return describe(self._units, self._decided, self._options)

    @functools.cached_property
    def outline(self) -> Outline:
        """Its outline. If it is new the body of the description is packed from now on."""
        if self._decided is None:
            return self._kept.outline()
        from upstare.model.outline import outline

        found = outline(self.description)
        self._packing = Beside(partial(self._keep, found, self._decided.keys))
        return found

    @functools.cached_property
    def body(self) -> bytes:
        """The body of the description, which is kept for the next build."""
        _ = self.outline
        return self._packing.result() if self._packing is not None else self._kept.body

    def complete(self) -> None:
        """Wait until it is kept, if it is new."""
        _ = self.body

    def _keep(self, outline: Outline, keys: list[str]) -> bytes:
        from upstare.model.description import pack_body

        body = pack_body(self.description)
        self._kept.keep(keys, outline, body)
        return body


@dataclass
class Image:
    """What :func:`build_image` made. ``objects`` by the digest of the unit."""

    objects: dict[str, Path]
    extra_objects: list[Path]
    described: Described
    dynamic_list: str = DYNAMIC_LIST


def _kept_object(unit: Unit, objects: Sequence[References], work: Path) -> list[Path]:
    """What the linker must be told so that it keeps everything that the notes of ``objects`` refer to."""
    text = keep_source(objects)
    if text is None:
        return []
    source, target = work / "upstare_keep.s", work / "upstare_keep.o"
    source.write_text(text)
    command = [*unit.compiler, "-Wa,-mrelax-relocations=no", "-c", str(source), "-o", str(target)]
    process.check(command, "assemble the object for the notes")
    return [target]


def build_image(
    units: Sequence[Unit],
    options: Options,
    work: Path,
    program: str,
    version: str,
    progress: Progress | None = None,
    build: str | None = None,
) -> Image:
    """Objects and description of one image. Raises UpstareError; nothing else is left behind but the cache.

    ``build``: the identity of the executable that the image (a patch's) stands for. That of an executable is known
    when it is linked: see ``driver/link.py``.
    """
    unit_work = UnitWork(units, work)
    kept = Kept(unit_work.cache, units, options)

    def begin(sources: str) -> _ImageObject:
        return _ImageObject(units[0], build or sources, program, version, work, options)

    made = _known(unit_work, kept, begin) or _make(unit_work, begin, options, progress or _no_report)
    extra = _kept_object(units[0], [o.references for o in made.objects], work)
    extra.append(made.image_object.path())
    objects = {u.digest: o.path for u, o in zip(units, made.objects, strict=True)}
    return Image(objects, extra, Described(units, options, made.decided, kept))


class _Made(NamedTuple):
    """The objects of an image, and what was decided if it was not known."""

    image_object: _ImageObject
    objects: list[UnitObject]
    decided: Decided | None = None


def _known(unit_work: UnitWork, kept: Kept, begin: Callable[[str], _ImageObject]) -> _Made | None:
    """What the last build made, if it was the same. ``begin`` is told the digest of the sources."""
    found = kept.keys()
    if found is None:
        return None
    sources, keys = found
    image_object = begin(sources)
    objects = [unit_work.known_object(number, key) for number, key in enumerate(keys)]
    known = [o for o in objects if o is not None]
    if len(known) == len(objects):
        return _Made(image_object, known)
    image_object.path()
    return None


def _make(unit_work: UnitWork, begin: Callable[[str], _ImageObject], options: Options, report: Progress) -> _Made:
    """The same, made of the units."""
    from upstare.decide import decide, sources_digest

    units = unit_work.units
    numbers = range(len(units))
    with Team(unit_work, min(os.cpu_count() or 1, len(units))) as team:
        known = [unit_work.known_summary(i) for i in numbers]
        summaries = team.complete(known, [partial(UnitWork.summary, number=i) for i in numbers], report, "reading")
        image_object = begin(sources_digest(units, summaries, options))
        decided = decide(unit_work, options, summaries, team)
        made = [unit_work.known_object(i, decided.keys[i]) for i in numbers]
        again = [partial(UnitWork.object, number=i, decisions=d) for i, d in enumerate(decided.decisions)]
        objects = team.complete(made, again, report, "transforming")
        return _Made(image_object, objects, decided)


def _no_report(stage: str, done: int, total: int) -> None:
    pass


def image_source(build: str, program: str, version: str, options: Options) -> str:
    """Assembly of ``struct upstare_image_info`` of c_runtime/include/upstare_abi.h: what the image is."""

    def data(label: str, content: bytes) -> str:
        return f"{label}: .byte {', '.join(map(str, content))}"

    return "\n".join([
        '\t.section .rodata.upstare_image,"a",@progbits',
        *(data(label, os.fsencode(text) + b"\0") for label, text in ((".Lprogram", program), (".Lversion", version))),
        '\t.section .data.rel.ro.upstare_image,"aw",@progbits',
        "\t.globl upstare_image_self", "\t.hidden upstare_image_self", "\t.type upstare_image_self, @object",
        "\t.size upstare_image_self, 64", "\t.balign 8",
        "upstare_image_self:", f"\t.long {ABI}, {int(options.scheme != 'trap')}",
        data(".Lbuild", bytes.fromhex(build)),
        "\t.quad .Lprogram, .Lversion", f"\t.long {int(not options.clones)}, 0",
        '\t.section .note.GNU-stack,"",@progbits', "",
    ])  # fmt: skip


class _ImageObject:
    """The object that says what the image is (``upstare_image_self``), on its way. The compiler proper takes longer."""

    def __init__(self, unit: Unit, build: str, program: str, version: str, work: Path, options: Options) -> None:
        source, self._target = work / "upstare_image.s", work / "upstare_image.o"
        source.write_text(image_source(build, program, version, options))
        words = [*unit.compiler, "-c", str(source), "-o", str(self._target)]
        self._compiler = process.start(words, capture=True, capture_errors=True)

    def path(self) -> Path:
        """Where it is, when it is there."""
        process.finish(self._compiler, self._compiler.wait_or_end(), "assemble the image's own object")
        return self._target
