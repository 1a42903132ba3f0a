"""Linking: every program with units is made updateable, in its place, or it is not there."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.driver.place import Place
from tests.support.build import build_file
from upstare.driver import elf
from upstare.driver.elf import SECTION_DESCRIPTION, read_section
from upstare.model.description import Description, unit_text, unpack

SHT_RELR = 19


def check_runs(place: Place, program: str = "prog", units: int = 2) -> None:
    """The program is updateable, made of so many units, and works."""
    assert place.transformed(program) == units
    place.env["UPSTARE_TEST_LOUD"] = "1"
    result = place.run([str(place / program)])
    assert (result.returncode, result.stdout, result.stderr) == (0, "hello world\n", "runtime\n")


def report(place: Place) -> Any:
    """What the transform was asked for."""
    return json.loads((place / "report.json").read_text())


def described(place: Place) -> Description:
    """The description that the program carries."""
    return unpack(elf.read_section(place / "prog", elf.SECTION_DESCRIPTION) or b"")


def test_objects(place: Place) -> None:
    place.good_cc("-c", "-O2", "-g", "greet.c", "main.c")
    place.good_cc("main.o", "greet.o", "-o", "prog")
    check_runs(place)
    data = elf.read_section(place / "prog", elf.SECTION_DESCRIPTION)
    assert data is not None
    description = described(place)
    assert [u.source for u in description.units] == [str(place / "main.c"), str(place / "greet.c")]
    assert b"GREETING" not in unit_text(data, description.units[1])
    assert elf.read_section(place / "prog", elf.SECTION_POINTS) == b"table"
    assert not list(place.directory.glob(".*"))


def test_compile_and_link_in_one_command(place: Place) -> None:
    place.plain("-O2", "-MMD", "main.c", "greet.c", "-o", "prog")
    theirs = {p.name for p in place.directory.iterdir()}
    place.good_cc("-O2", "-Wall", "-Werror", "-MMD", "main.c", "greet.c", "-o", "prog")
    check_runs(place)
    assert {p.name for p in place.directory.iterdir()} == theirs | {"report.json", "cache"}


def test_sources_and_objects_in_one_command(place: Place) -> None:
    place.good_cc("-c", "greet.c")
    place.good_cc("main.c", "greet.o", "-o", "prog")
    check_runs(place)


def test_output_without_a_name(place: Place) -> None:
    place.good_cc("main.c", "greet.c")
    check_runs(place, "a.out")


def test_static_archive(place: Place) -> None:
    place.write("unused.c", "int unused(void) { return undefined_elsewhere(); }\n")
    place.good_cc("-w", "-c", "greet.c", "main.c", "unused.c")
    place.run(["ar", "crs", "libgreet.a", "unused.o", "greet.o"])
    place.good_cc("main.o", "libgreet.a", "-o", "prog")
    check_runs(place)
    place.good_cc("main.o", "-L.", "-lgreet", "-o", "prog")
    check_runs(place)
    place.good_cc("main.o", "-Wl,-L.,-lgreet", "-o", "prog")
    check_runs(place)
    place.good_cc("main.o", "-Wl,--start-group,libgreet.a,--end-group", "-o", "prog")
    check_runs(place)
    place.run(["ar", "crsT", "thin.a", "unused.o", "greet.o"])
    place.good_cc("main.o", "thin.a", "-o", "prog")
    check_runs(place)


def test_whole_archive(place: Place) -> None:
    place.write("asm.S", ".globl in_assembly\nin_assembly: ret\n.section .note.GNU-stack\n")
    place.good_cc("-c", "greet.c", "main.c", "asm.S")
    place.run(["ar", "crs", "lib.a", "asm.o", "greet.o"])
    place.good_cc("main.o", "-Wl,--whole-archive", "lib.a", "-Wl,--no-whole-archive", "-o", "prog")
    check_runs(place)
    assert "in_assembly" in {s.name for s in elf.read(place / "prog").symbols()}


def test_archive_with_long_and_equal_names(place: Place) -> None:
    long = "a_name_of_more_than_fifteen_bytes"
    for directory in ("one", "two"):
        place.write(f"{directory}/{long}.c", f"int {directory}(void) {{ return 0; }}\n")
        place.good_cc("-c", f"{directory}/{long}.c", "-o", f"{directory}/{long}.o")
    place.write("main.c", "int one(void), two(void);\nint main(void) { return one() + two(); }\n")
    place.run(["ar", "qcs", "lib.a", f"one/{long}.o", f"two/{long}.o"])
    place.good_cc("main.c", "lib.a", "-o", "prog")
    assert place.transformed("prog") == 3
    assert place.run([str(place / "prog")]).returncode == 0


def test_opaque_inputs_stay_and_what_they_need_is_told(place: Place) -> None:
    place.write(
        "asm.S",
        ".globl count\ncount: incl greeted(%rip)\n ret\n"
        ".data\n.globl own\n.type own,@object\n.size own,4\nown: .long 7\n"
        ".section .note.GNU-stack\n",
    )
    place.write(
        "main.c",
        '#include "greet.h"\nint other;\nint count(void);\nextern int own;\n'
        'int main(void) { count(); return own != 7 || greeted != 1 || greet("world") < 0; }\n',
    )
    place.good_cc("-no-pie", "main.c", "asm.S", "greet.c", "-o", "prog")
    check_runs(place)
    assert {"greeted", "own"} <= set(report(place)["outside"])
    assert "other" not in report(place)["outside"]
    assert {"count", "own"} <= {s.name for s in elf.read(place / "prog").symbols(".dynsym") if s.defined}


def test_opaque_members_of_an_archive(place: Place) -> None:
    place.plain("-c", "greet.c")
    place.good_cc("-c", "main.c")
    place.run(["ar", "crs", "libgreet.a", "greet.o"])
    place.good_cc("main.o", "-L.", "-lgreet", "-lm", "-o", "prog")
    check_runs(place, units=1)
    assert described(place).link == [f"-L{place.directory}", "-lm"]


def test_variable_of_a_shared_library_user(place: Place) -> None:
    place.write("plugin.c", '#include "greet.h"\nint look(void) { return greeted; }\n')
    place.good_cc("-fPIC", "-shared", "plugin.c", "-o", "libplugin.so")
    place.write(
        "main.c",
        '#include "greet.h"\nint look(void);\nint main(void) { return greet("world") < 0 || look() != 1; }\n',
    )
    place.good_cc("main.c", "greet.c", "-L.", "-lplugin", "-Wl,-rpath,$ORIGIN", "-pthread", "-o", "prog")
    check_runs(place)
    assert "greeted" in report(place)["outside"]
    assert described(place).link == [
        f"-L{place.directory}", "-lplugin", "-Xlinker", "-rpath", "-Xlinker", "$ORIGIN", "-pthread",
    ]  # fmt: skip


def test_libtool_compiles_everything_twice(place: Place) -> None:
    (place / ".libs").mkdir()
    place.good_cc("-c", "greet.c", "-fPIC", "-DPIC", "-o", ".libs/greet.o")
    place.good_cc("-c", "greet.c", "-o", "greet.o")
    place.good_cc("-shared", "-fPIC", ".libs/greet.o", "-Wl,-soname", "-Wl,libgreet.so.0", "-o", ".libs/libgreet.so.0")
    place.run(["ar", "cru", ".libs/libgreet.a", "greet.o"])
    place.run(["ranlib", ".libs/libgreet.a"])
    place.good_cc("-o", "prog", "main.c", ".libs/libgreet.a")
    check_runs(place)
    place.good_cc("-o", "prog2", "main.c", ".libs/libgreet.so.0", "-Wl,-rpath", f"-Wl,{place / '.libs'}")
    check_runs(place, "prog2", units=1)


def test_the_same_object_by_name_and_in_an_archive(place: Place) -> None:
    place.good_cc("-c", "greet.c", "main.c")
    place.run(["ar", "crs", "lib.a", "greet.o"])
    place.good_cc("lib.a", "main.o", "greet.o", "lib.a", "-o", "prog")
    check_runs(place)


def test_relocatable_link_carries_units(place: Place) -> None:
    place.good_cc("-c", "greet.c")
    place.good_cc("-r", "-nostdlib", "greet.o", "main.c", "-o", "both.o")
    place.good_cc("both.o", "-o", "prog")
    check_runs(place)


def test_relocatable_link_with_opaque_code_is_refused(place: Place) -> None:
    place.plain("-c", "greet.c")
    place.good_cc("-c", "main.c")
    place.good_cc("-r", "-nostdlib", "greet.o", "main.o", "-o", "both.o")
    result = place.cc("both.o", "-o", "prog")
    assert result.returncode == 3
    assert "both.o holds C that UpStare knows and code that it does not" in result.stderr
    assert not (place / "prog").exists()


def test_plain_objects_make_a_plain_program(place: Place) -> None:
    place.plain("-c", "greet.c", "main.c")
    place.good_cc("main.o", "greet.o", "-o", "prog")
    place.plain("main.o", "greet.o", "-o", "theirs")
    assert (place / "prog").read_bytes() == (place / "theirs").read_bytes()


def test_response_file(place: Place) -> None:
    place.good_cc("-c", "greet.c", "main.c")
    place.write("link.rsp", "main.o\ngreet.o -o prog\n")
    place.good_cc("@link.rsp")
    check_runs(place)


@pytest.mark.parametrize(
    "arguments",
    [
        ["main.o", "-o", "prog"],
        ["main.c", "-o", "prog"],
        ["main.o", "greet.o", "-lno_such_library", "-o", "prog"],
        ["broken.c", "greet.o", "-o", "prog"],
    ],
    ids=" ".join,
)
def test_failures_are_the_linkers(place: Place, arguments: list[str]) -> None:
    place.write("broken.c", "int main(void) { return }\n")
    place.good_cc("-c", "greet.c", "main.c")
    ours, theirs = place.cc(*arguments), place.plain(*arguments)
    assert ours.returncode == theirs.returncode != 0
    assert ours.stderr.splitlines()[-1] == theirs.stderr.splitlines()[-1]
    assert not (place / "prog").exists()


@pytest.mark.parametrize("flag", ["-static", "-static-pie"])
def test_static_programs_are_refused(place: Place, flag: str) -> None:
    result = place.cc(flag, "main.c", "greet.c", "-o", "prog")
    if "cannot find" in result.stderr:
        pytest.skip("no static C library here")
    assert result.returncode == 3
    assert result.stderr.startswith("upstare: error: prog is statically linked")
    assert not (place / "prog").exists()


def test_programs_without_start_files_are_refused(place: Place) -> None:
    place.write("start.c", "void _start(void) { for (;;) ; }\n")
    result = place.cc("-nostartfiles", "start.c", "-o", "prog")
    assert result.returncode == 3
    assert "__libc_start_main" in result.stderr
    assert not (place / "prog").exists()


def test_failure_of_the_second_link_removes_the_program(place: Place) -> None:
    place.write("cc", '#!/bin/sh\ncase "$*" in *--wrap=*) echo broken >&2; exit 1;; esac\nexec cc "$@"\n').chmod(0o755)
    place.env["UPSTARE_CC"] = str(place / "cc")
    result = place.cc("main.c", "greet.c", "-o", "prog")
    assert result.returncode == 1
    assert "upstare: error: cannot link the updateable prog: cc ended with 1\nbroken" in result.stderr
    assert not (place / "prog").exists()
    assert not list(place.directory.glob(".*"))


def test_unit_from_a_linker_script(place: Place) -> None:
    place.good_cc("-c", "greet.c", "main.c")
    place.write("libgreet.so", "INPUT(greet.o)\n")
    result = place.cc("main.o", "libgreet.so", "-o", "prog")
    assert result.returncode == 1
    assert f"cannot tell which file on the command line brought {place / 'greet.c'} into prog" in result.stderr
    assert not (place / "prog").exists()


def test_choices_by_environment(place: Place) -> None:
    place.env |= {"UPSTARE_SCHEME": "flag", "UPSTARE_POINTS": "strict", "UPSTARE_VERSION": "1.2"}
    place.good_cc("main.c", "greet.c", "-o", "prog")
    told = report(place)
    assert (told["scheme"], told["placement"], told["version"], told["program"]) == ("flag", "strict", "1.2", "prog")
    place.env["UPSTARE_POINTS"] = "everywhere"
    result = place.cc("main.c", "greet.c", "-o", "prog")
    assert (result.returncode, (place / "prog").exists()) == (2, False)
    assert "UPSTARE_POINTS is everywhere; it can be default, strict, 2009" in result.stderr


def test_stripped_at_link(place: Place) -> None:
    place.good_cc("-s", "main.c", "greet.c", "-o", "prog")
    file = elf.read(place / "prog")
    names = {s.name for s in file.sections}
    assert ".symtab" not in names
    assert {elf.SECTION_POINTS, elf.SECTION_DESCRIPTION} <= names
    assert place.run([str(place / "prog")]).stdout == "hello world\n"


def test_lto_programs(place: Place) -> None:
    warning = "is built without -flto=auto: the units of an updateable program are compiled one by one\n"
    place.good_cc("-flto=auto", "-O2", "-c", "greet.c", "main.c")
    for linked in (["greet.o", "main.o"], ["-flto=auto", "greet.o", "main.o"], ["-flto=auto", "greet.c", "main.c"]):
        result = place.cc("-O2", *linked, "-o", "prog")
        assert (result.returncode, result.stdout, result.stderr) == (0, "", f"upstare: warning: prog {warning}")
        check_runs(place)
    result = place.cc("-O2", "-shared", "-fPIC", "-flto=auto", "greet.c", "-o", "lib.so")
    assert (result.returncode, result.stderr) == (0, f"upstare: warning: lib.so {warning}")
    place.good_cc("-flto", "-fno-lto", "greet.c", "main.c", "-o", "prog")


def test_sections_that_nobody_uses(place: Place) -> None:
    place.good_cc("-ffunction-sections", "-c", "greet.c", "main.c")
    place.good_cc("-Wl,--gc-sections", "greet.o", "main.o", "-o", "prog")
    check_runs(place)


def test_exported_programs(place: Place) -> None:
    place.good_cc("-rdynamic", "greet.c", "main.c", "-o", "prog")
    check_runs(place)
    assert "greeted" in report(place)["outside"]


def test_long_command_lines(place: Place) -> None:
    place.good_cc("-c", "greet.c", "main.c")
    place.good_cc("greet.o", "main.o", *(f"-L/nowhere/{'x' * 200}/{n}" for n in range(470)), "-o", "prog")
    check_runs(place)


def test_verbose_builds_are_transformed_too(place: Place) -> None:
    result = place.cc("-v", "greet.c", "main.c", "-o", "prog")
    assert result.returncode == 0
    check_runs(place)


def test_same_sources_other_code_are_another_build(tmp_path: Path) -> None:
    """A point table is right for one machine code only, so what tells builds apart looks at the code too."""
    source = tmp_path / "p.c"
    source.write_text("int main(void) { return 0; }\n")
    more = tmp_path / "more.s"
    more.write_text(".text\nnop\n")
    found = []
    for name, flags in (("one", []), ("again", []), ("two", [str(more)])):
        program = build_file(source, tmp_path / name / "program", ["-O2", *flags])
        container = read_section(program, SECTION_DESCRIPTION)
        assert container is not None
        description = unpack(container)
        found.append((description.sources, description.build))
        assert program.read_bytes().count(bytes.fromhex(description.build)) >= 1
    assert found[0] == found[1]
    assert found[0][0] == found[2][0]
    assert found[0][1] != found[2][1]


def packed(place: Place) -> bool:
    """Whether the program has packed relocations; it must say so to the C library, which may not read them."""
    file = elf.read(place / "prog")
    found = any(s.type == SHT_RELR and s.size for s in file.sections)
    assert found == (b"GLIBC_ABI_DT_RELR" in (file.section(".dynstr") or b""))
    return found


def test_relative_relocations_are_packed_where_they_can_be(place: Place) -> None:
    place.write("point.c", '#include "greet.h"\nint *place = &greeted, *other = &greeted;\n')
    place.plain("-fPIE", "-pie", "-Wl,-z,pack-relative-relocs", "main.c", "greet.c", "point.c", "-o", "prog")
    if not packed(place):
        pytest.skip("the linker or the C library cannot pack relocations")
    sources = ["-fPIE", "-pie", "main.c", "greet.c", "point.c", "-o", "prog"]
    place.good_cc(*sources)
    check_runs(place, units=3)
    assert packed(place)
    place.good_cc("-Wl,-z,nopack-relative-relocs", *sources)
    check_runs(place, units=3)
    assert not packed(place)
    # Another C library is where the program will run.
    place.run(["cc", "-shared", "-x", "c", "-", "-o", "libc.so.6"], text="int nothing;\n")
    place.good_cc("-B.", *sources)
    check_runs(place, units=3)
    assert not packed(place)


@pytest.mark.skipif(shutil.which("ld.gold") is None, reason="gold is not here")
def test_a_linker_that_cannot_pack(place: Place) -> None:
    place.good_cc("-fuse-ld=gold", "main.c", "greet.c", "-o", "prog")
    check_runs(place)
    assert not packed(place)
    failed = place.cc("-fuse-ld=gold", "-Wl,--no-such-option", "main.c", "greet.c", "-o", "prog")
    assert failed.returncode != 0 and "pack-relative" not in failed.stderr
