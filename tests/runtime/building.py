"""Builds the hand-written programs of this directory: runtime, notes, table, without the transform."""

from __future__ import annotations

import hashlib
import re
import subprocess
from collections.abc import Sequence
from pathlib import Path

from tests.support.described import frames
from tests.support.tool import REPOSITORY
from upstare.driver import elf, reach
from upstare.driver.runtime import SEGMENT, WRAP_JUMPS, runtime_object
from upstare.model.description import Description, Function
from upstare.model.outline import outline
from upstare.points.table import build_table
from upstare.release import ABI

HERE = Path(__file__).parent
RUNTIME = REPOSITORY / "c_runtime"
FLAGS = (
    "-std=gnu11",
    "-O2",
    "-g",
    "-Wall",
    "-Wextra",
    "-Werror",
    "-Wno-maybe-uninitialized",
    "-Wno-uninitialized",
    "-pthread",
)
WRAPS = ("-Wl,--wrap=__libc_start_main", *WRAP_JUMPS)
ID = re.compile(r"RESUME\((?P<type>[^,]+),\s*(?P<id>[0-9a-f]{16})\)")
SIZE = re.compile(r"#define FRAME_([0-9a-f]{16})\s+(\d+)")


def run(command: Sequence[str | Path], deadline: float = 120.0) -> str:
    """Runs a command that must succeed; its output."""
    done = subprocess.run(
        [str(word) for word in command], capture_output=True, text=True, timeout=deadline, check=False
    )
    assert done.returncode == 0, f"{' '.join(map(str, command))}\n{done.stdout}{done.stderr}"
    return done.stdout


def describe(source: Path, scheme: str, version: str) -> Description:
    """What the model would say of a hand-written program: functions, their frames."""
    text = run(["gcc", "-E", "-dD", f"-DVERSION={version}", f"-I{RUNTIME / 'include'}", "-P", source])
    sizes = {m[1]: int(m[2]) for m in SIZE.finditer(text)}
    build = hashlib.sha256(source.read_bytes() + version.encode() + scheme.encode()).hexdigest()
    description = Description(1, 1, build, source.stem, version, scheme, "default", [])
    names = dict(re.findall(r"([0-9a-f]{16}) (\w+)(?: \*/|\n)", source.read_text()))
    for match in ID.finditer(source.read_text()):
        description.functions.append(
            Function(
                match["id"], source.name, names.get(match["id"], "unnamed"), source.name, 1, False, "", match["type"],
                "", True, frame_size=sizes[match["id"]],
            )
        )  # fmt: skip
    return description


def _braced(build: str) -> str:
    return "{" + ",".join(f"0x{build[i : i + 2]}" for i in range(0, 64, 2)) + "}"


def _information(description: Description, path: Path) -> Path:
    flag = int(description.scheme == "flag")
    path.write_text(
        '#include "upstare_abi.h"\n__attribute__((visibility("hidden"))) const struct upstare_image_info '
        f"upstare_image_self = {{{ABI}, {flag}, {_braced(description.build)}, "
        f'"{description.program}", "{description.version}", 0}};\n'
    )
    return path


def _compile(source: Path, description: Description, flags: Sequence[str]) -> list[str | Path]:
    define = [f"-DVERSION={description.version}", *(["-DFLAG"] if description.scheme == "flag" else [])]
    return ["gcc", *FLAGS, *define, *flags, f"-I{RUNTIME / 'include'}", f"-I{source.parent}", source]


def build(
    source: Path, directory: Path, scheme: str = "trap", flags: Sequence[str] = (), version: str = "1"
) -> Path:
    """The program, with its table; what it does not use of the runtime sleeps."""
    out = directory / f"{source.stem}-{version}-{scheme}"
    description = describe(source, scheme, version)
    info = _information(description, out.with_suffix(".info.c"))
    objects = [out.with_suffix(".o"), out.with_suffix(".info.o")]
    run([*_compile(source, description, flags), "-c", "-o", objects[0]])
    run(["gcc", f"-I{RUNTIME / 'include'}", "-c", info, "-o", objects[1]])
    script = out.with_suffix(".ld")
    script.write_text(SEGMENT)
    runtime = runtime_object(["gcc"], reach.mentioned(objects))
    run(["gcc", *FLAGS, *flags, *objects, runtime, *WRAPS, f"-Wl,-T,{script}", "-rdynamic", "-o", out])
    elf.withhold_segment(out, (elf.SECTION_UPDATE, elf.SECTION_RESUME))
    table = out.with_suffix(".table")
    table.write_bytes(build_table(out, outline(description, frames(description)), description.build))
    run(["objcopy", "--remove-section", ".upstare_notes", "--add-section", f".upstare.points={table}", out])
    return out


def build_patch(source: Path, old: Path, scheme: str = "trap", flags: Sequence[str] = (), name: str = "patch") -> Path:
    """The image that takes version 1 of a hand-written program to version 2."""
    out = old.parent / f"{source.stem}-{scheme}-{name}.so"
    before, after = describe(source, scheme, "1"), describe(source, scheme, "2")
    info = _information(after, out.with_suffix(".info.c"))
    builds = [f"-DFROM_BUILD={_braced(before.build)}", f"-DTO_BUILD={_braced(after.build)}", "-DPATCH"]
    shared = ["-shared", "-fPIC", "-Wl,-Bsymbolic-functions"]
    run([*_compile(source, after, [*flags, *builds, *shared]), info, "-o", out])
    elf.bind_late(out)
    table = out.with_suffix(".table")
    table.write_bytes(build_table(out, outline(after, frames(after)), after.build))
    run(["objcopy", "--remove-section", ".upstare_notes", "--add-section", f".upstare.points={table}",
         "--add-section", f".upstare.oldpoints={old.with_suffix('.table')}", out])  # fmt: skip
    return out
