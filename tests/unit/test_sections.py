"""Sections that are not loaded come and go, and nothing else of the file changes."""

from __future__ import annotations

import itertools
import subprocess
from pathlib import Path

import pytest

from upstare.driver import elf, process, sections
from upstare.driver.sections import add_sections
from upstare.errors import UpstareError

SOURCE = """
#include <stdio.h>
__asm__(".pushsection .one,\\"\\",@progbits; .ascii \\"first\\"; .popsection;"
        ".pushsection .two,\\"\\",@progbits; .balign 32; .ascii \\"second\\"; .popsection");
static int local = 3;
int main(void) { return printf("%d\\n", local) != 2; }
"""
LINKED = {
    "program": ("-g",),
    "fixed": ("-no-pie", "-O2"),
    "stripped": ("-s",),
    "shared": ("-shared", "-fPIC", "-g"),
}
OBJECTS = {"object": ("-c", "-g"), "partial": ("-r", "-nostdlib", "-g")}
CHANGES: dict[str, tuple[dict[str, bytes], list[str]]] = {
    "more": ({".new": b"n" * 100}, []),
    "less": ({}, [".one", ".two", ".missing"]),
    "as many": ({".new": b"new", ".other": b""}, [".one", ".two"]),
    "one more": ({".new": b"n" * 5000, ".other": b"o", ".third": b"t"}, [".two", ".one"]),
    "another": ({".one": b"another"}, []),
    "both": ({".two": b"2", ".new": b"new"}, [".one", ".two"]),
    "nothing": ({}, [".missing"]),
}


def compiled(target: Path, *flags: str) -> Path:
    subprocess.run(["cc", *flags, "-x", "c", "-", "-o", target], input=SOURCE.encode(), check=True)
    return target


def contents(path: Path) -> dict[str, tuple[int, int, bytes]]:
    """Type, flags and bytes of all sections but those that list the sections and their symbols."""
    file = elf.read(path)
    apart = (".shstrtab", ".symtab", ".strtab", "")
    return {
        s.name: (s.type, s.flags, file.data[s.offset : s.offset + s.size]) for s in file.sections if s.name not in apart
    }


def symbols(path: Path) -> list[tuple[str, int]]:
    return [(s.name, s.value) for s in elf.read(path).symbols()]


@pytest.mark.parametrize(
    ("kind", "change"),
    [*itertools.product(LINKED, CHANGES), *itertools.product(OBJECTS, ("more", "nothing"))],
)
def test_as_objcopy_does_it(kind: str, change: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    new, remove = CHANGES[change]
    flags = {**LINKED, **OBJECTS}[kind]
    ours, theirs = compiled(tmp_path / "ours", *flags), compiled(tmp_path / "theirs", *flags)
    before = symbols(ours)
    with monkeypatch.context() as patch:
        patch.setattr(sections, "_changed", lambda *_: None)
        add_sections(theirs, new, remove)
    monkeypatch.setattr(process, "check", lambda *_: pytest.fail("objcopy is called"))
    add_sections(ours, new, remove)
    assert contents(ours) == contents(theirs)
    assert symbols(ours) == before
    said = subprocess.run(["readelf", "--all", "--wide", ours], capture_output=True, text=True, check=True)
    assert said.stderr == ""
    if kind in ("program", "fixed", "stripped"):
        assert subprocess.run([ours], capture_output=True, check=False).stdout == b"3\n"
    # Other tools take it as it is.
    subprocess.run(["objcopy", "--remove-section=.new", ours], check=True)
    subprocess.run(["strip", "--strip-debug", ours], check=True)
    assert ".new" not in contents(ours)
    assert contents(ours).get(".one") == contents(theirs).get(".one")


def test_one_after_the_other(tmp_path: Path) -> None:
    program = compiled(tmp_path / "program")
    for number in range(20):
        add_sections(program, {f".s{number % 3}": bytes(range(number)), ".always": b"a" * number}, [f".s{number % 2}"])
    assert {n for n in contents(program) if n.startswith(".s")} >= {".s2", ".s1"}
    assert elf.read_section(program, ".always") == b"a" * 19
    assert subprocess.run([program], capture_output=True, check=False).stdout == b"3\n"


@pytest.mark.parametrize("why", ["a group", "relocations"])
def test_what_is_left_to_objcopy(why: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    section = '.note_, "G", @progbits, signature, comdat' if why == "a group" else '.note_, "", @progbits'
    text = f".globl somewhere\n.section {section}\n.quad somewhere\n"
    target = tmp_path / "a.o"
    subprocess.run(["cc", "-c", "-x", "assembler", "-", "-o", target], input=text.encode(), check=True)
    called = []
    check = process.check

    def counted(words: list[str], what: str) -> None:
        called.append(words)
        check(words, what)

    monkeypatch.setattr(process, "check", counted)
    add_sections(target, {".new": b"new"}, [".note_"])
    assert len(called) == 1
    assert ".note_" not in contents(target) and contents(target)[".new"][2] == b"new"
    add_sections(target, {".more": b"more"})
    assert len(called) == 1


def test_what_is_no_file_of_ours(tmp_path: Path) -> None:
    with pytest.raises(UpstareError, match="cannot change the sections of"):
        add_sections(tmp_path / "missing", {".a": b"a"})
    (tmp_path / "text").write_text("text")
    with pytest.raises(UpstareError, match="is not an ELF file"):
        add_sections(tmp_path / "text", {".a": b"a"})
    program = compiled(tmp_path / "program")
    data = program.read_bytes()
    program.write_bytes(data[: len(data) - 8])
    with pytest.raises(UpstareError, match="is damaged"):
        add_sections(program, {".a": b"a"})
