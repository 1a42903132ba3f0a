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

if TYPE_CHECKING:
    from upstare.model.outline import Described
    from upstare.model.unit import Options, Unit

DYNAMIC_LIST = "{ " + "".join(f"{name}*; " for name in UNIT_NAMES) + "};\n"  # of what is thread-local, and of patches


@dataclass
class Image:
    """What :func:`build_image` made. ``objects`` by the digest of the unit."""

    objects: dict[str, Path]
    extra_objects: list[Path]
    describe: Callable[[], Described]
    dynamic_list: str = DYNAMIC_LIST

    @functools.cached_property
    def described(self) -> Described:
        """How it is described, which takes its time: ask for it while something else is at work."""
        return self.describe()


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

    made = _known(unit_work, kept, begin) or _make(unit_work, kept, begin, options, progress or _no_report)
    extra = _kept_object(units[0], [o.references for o in made.objects], work)
    extra.append(made.image_object.path())
    objects = {u.digest: o.path for u, o in zip(units, made.objects, strict=True)}
    return Image(objects, extra, made.describe)


class _Made(NamedTuple):
    """The objects of an image, and how it is described."""

    image_object: _ImageObject
    objects: list[UnitObject]
    describe: Callable[[], Described]


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
        return _Made(image_object, known, kept.described)
    image_object.path()
    return None


def _make(
    unit_work: UnitWork, kept: Kept, begin: Callable[[str], _ImageObject], options: Options, report: Progress
) -> _Made:
    """The same, made of the units."""
    from upstare.decide import decide, describe, sources_digest

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

    def described() -> Described:
        found = describe(units, decided, options)
        kept.keep(decided.keys, found)
        return found

    return _Made(image_object, objects, described)


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
