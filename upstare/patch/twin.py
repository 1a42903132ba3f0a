"""The twin of an executable: the same version in the form of a patch, with the resume clones that the executable lacks.

A program never needs its own resume clones, unless an update of it is called off after its stacks have come down, is
taken back, or is rehearsed by the storm. So the link does without them, and whoever needs them makes the twin: a patch
brings that of the version which it leads from. It is made of the units in the executable, once for each build.
"""

from __future__ import annotations

import sys
from pathlib import Path

from upstare.driver import process
from upstare.driver.cache import Cache
from upstare.driver.runtime import include_directory
from upstare.errors import UpstareError
from upstare.model.description import Description, Function
from upstare.patch.build import Executable, Progress, add_tables, build_shared, link_shared
from upstare.release import twin_key


def twin(executable: Executable, progress: Progress | None = None) -> Path:
    """The file with the twin of an executable, in the cache.

    Raises:
        UpstareError: it cannot be made, or does not fit the executable.
    """
    cache = Cache()
    key = twin_key(executable.description.build)
    return cache.get(key) or _make(executable, cache, key, progress)


def _make(executable: Executable, cache: Cache, key: str, progress: Progress | None) -> Path:
    with process.Scratch() as scratch:
        work = Path(scratch)
        image = build_shared(executable, work, progress, twin=True)
        _verify(executable.description, image.described.description())
        compiler = executable.description.units[0].compiler
        objects = [*image.objects.values(), _says_what_it_is(executable.description, compiler, work)]
        result = link_shared(executable, executable, image, objects, work)
        add_tables(result, executable, image, executable.description.build, {})
        return cache.put(key, result)


def _says_what_it_is(description: Description, compiler: list[str], work: Path) -> Path:
    """The object with ``upstare_patch``: from the build to itself, and nothing to be done."""
    source, target = work / "upstare_twin.c", work / "upstare_twin.o"
    digest = ",".join(f"0x{b:02x}" for b in bytes.fromhex(description.build))
    source.write_text(
        '#include "upstare_abi.h"\n'
        'extern const struct upstare_image_info upstare_image_self __attribute__((visibility("hidden")));\n'
        'extern const struct upstare_patch upstare_patch __attribute__((visibility("default")));\n'
        f"const struct upstare_patch upstare_patch = {{ UPSTARE_ABI, 0, {{{digest}}}, {{{digest}}}, "
        "&upstare_image_self, {0}, {0} };\n"
    )
    words = ["-O2", "-fPIC", "-w", f"-I{include_directory()}", "-c", str(source), "-o", str(target)]
    process.check([*compiler, *words], "compile what the twin says of itself")
    return target


def _verify(old: Description, new: Description) -> None:
    """Both forms have the same frames and the same points. Raises UpstareError."""

    def frames(description: Description) -> dict[str, tuple[object, ...]]:
        return {f.id: _frame(f) for f in description.functions if f.instrumented}

    if frames(old) != frames(new):
        raise UpstareError(f"the resume clones of {old.program} do not fit it", hint="this is a fault of UpStare")


def _frame(function: Function) -> tuple[object, ...]:
    slots = [(s.key, s.offset, s.size, s.kept, s.type) for s in function.slots]
    points = [(p.number, p.kind, p.callee, p.live) for p in function.points]
    return function.frame_size, slots, points


def main() -> int:
    """Print where the twin of the executable is that is named on the command line."""
    from upstare.patch.make import read_executable

    try:
        print(twin(read_executable(Path(sys.argv[1]))))
    except UpstareError as error:
        print(f"upstare: {error}", file=sys.stderr)
        return 1
    return 0
