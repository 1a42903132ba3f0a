"""``upstare cc`` with a transform that changes nothing but leaves a mark, for tests of the driver alone.

Each transformed object holds a local symbol ``upstare_transformed``, and the program says so on standard error if
``UPSTARE_TEST_LOUD`` is set. The options that the image was made with are written to the file UPSTARE_TEST_REPORT.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from upstare import cli
from upstare.driver import link
from upstare.driver.options import for_recompile
from upstare.model.description import Description, UnitInfo, pack_body
from upstare.model.outline import outline
from upstare.model.unit import Options, Unit

RUNTIME = r"""
#include <stdio.h>
#include <stdlib.h>
typedef int start(int (*)(int, char **, char **), int, char **, void (*)(void), void (*)(void), void (*)(void), void *);
extern start __real___libc_start_main;
start __wrap___libc_start_main;
int __wrap___libc_start_main(int (*m)(int, char **, char **), int c, char **v, void (*i)(void), void (*f)(void),
                             void (*r)(void), void *s) {
  if (getenv("UPSTARE_TEST_LOUD")) fprintf(stderr, "runtime\n");
  return __real___libc_start_main(m, c, v, i, f, r, s);
}
"""


def build_image(
    units: Sequence[Unit],
    options: Options,
    work: Path,
    program: str,
    version: str,
    progress: Callable[[str, int, int], None] | None,
) -> Any:
    """Every unit compiled again, with a mark in it."""
    objects: dict[str, Path] = {}
    for number, unit in enumerate(units):
        target = work / f"unit{number}.o"
        text = unit.text + b'\nstatic const char upstare_transformed[] __attribute__((used)) = "yes";\n'
        command = [*unit.compiler, *for_recompile(unit.flags), "-x", "cpp-output", "-c", "-", "-o", str(target)]
        subprocess.run(command, input=text, check=True)
        objects[unit.digest] = target
        if progress is not None:
            progress("compile", number + 1, len(units))
    described = [UnitInfo(u.path, u.path, list(u.flags), list(u.compiler), u.digest) for u in units]
    report = os.environ.get("UPSTARE_TEST_REPORT")
    if report:
        Path(report).write_text(
            json.dumps(
                {
                    "outside": sorted(options.outside),
                    "scheme": options.scheme,
                    "placement": options.placement,
                    "program": program,
                    "version": version,
                    "units": [[u.path, list(u.flags)] for u in units],
                }
            )
        )
    description = Description(
        1, 1, "", "", "", options.scheme, options.placement, [], units=described, sources="0" * 64
    )
    described_so = SimpleNamespace(outline=outline(description, []), body=pack_body(description, []))
    return SimpleNamespace(
        objects=objects, extra_objects=[], described=described_so, dynamic_list="{ upstare_*; };\n"
    )


def runtime_object(compiler: Sequence[str], names: Collection[str]) -> Path:
    """A runtime that only passes on."""
    target = Path(os.environ["UPSTARE_CACHE"], f"simple-runtime-{os.getpid()}.o")
    target.parent.mkdir(parents=True, exist_ok=True)
    subprocess.run([*compiler, "-fPIC", "-x", "c", "-c", "-", "-o", str(target)], input=RUNTIME.encode(), check=True)
    return target


def simple_makers() -> link.Makers:
    """The parts above in the place of the real ones."""
    return link.Makers(build_image, lambda elf, outline, build: b"table", runtime_object)


if __name__ == "__main__":
    link.makers = simple_makers
    sys.exit(cli.main(["cc", *sys.argv[1:]]))
