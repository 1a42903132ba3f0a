"""Resume clones are in the executable, but are no text until they are needed."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest
from elftools.elf.constants import P_FLAGS
from elftools.elf.elffile import ELFFile

from tests.support.build import run_build
from tests.support.process import storms
from tests.support.tool import UPSTARE

SOURCE = """
#include <stdio.h>
#include <unistd.h>
static int walk(int n) { if (n == 0) return 1; usleep(1); return walk(n - 1) + n; }
int main(void) { printf("%d\\n", walk(20)); return 0; }
"""


def build(directory: Path, *flags: str) -> Path:
    (directory / "program.c").write_text(SOURCE)
    run_build([*UPSTARE, "cc", "-O2", *flags, "program.c", "-o", "program"], directory)
    return directory / "program"


def segment_of_clones(program: Path) -> int:
    """The permissions of the one segment that holds the resume clones; it must hold nothing else."""
    with program.open("rb") as file:
        elf = ELFFile(file)
        section: Any = elf.get_section_by_name("upstare_resume")
        at = section["sh_addr"]
        [segment] = [s for s in elf.iter_segments("PT_LOAD") if s["p_vaddr"] <= at < s["p_vaddr"] + s["p_memsz"]]
        assert (segment["p_vaddr"], segment["p_memsz"]) == (section["sh_addr"], section["sh_size"])
        return int(segment["p_flags"])


@pytest.mark.parametrize("flags", [("-pie", "-fPIE"), ("-no-pie", "-fno-pie"), ("-s",)], ids=lambda f: f[0])
def test_clones_are_no_text_but_run(tmp_path: Path, flags: tuple[str, ...]) -> None:
    program = build(tmp_path, *flags)
    assert segment_of_clones(program) == P_FLAGS.PF_R
    log = tmp_path / "storms"
    done = subprocess.run(
        [program], env={"UPSTARE_STORM": "1", "UPSTARE_STORM_LOG": str(log)}, capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stdout) == (0, "211\n")
    assert storms(log) > 0


def test_tools_leave_the_segment_alone(tmp_path: Path) -> None:
    program = build(tmp_path, "-g")
    for command in (["strip", "--strip-debug"], ["objcopy", "--remove-section=.comment"]):
        subprocess.run([*command, str(program)], check=True)
        assert segment_of_clones(program) == P_FLAGS.PF_R
    log = tmp_path / "storms"
    subprocess.run([program], env={"UPSTARE_STORM": "1", "UPSTARE_STORM_LOG": str(log)}, check=True, timeout=60)
    assert storms(log) > 0
