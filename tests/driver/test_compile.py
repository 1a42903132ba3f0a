"""Compiling: what the user sees is the real compiler's; the object holds its unit besides."""

from __future__ import annotations

import shlex
import sys

import pytest

from tests.driver.place import Place
from upstare.driver import elf, embed

PASSED_ON = [
    ["--version"],
    ["-v"],
    [],
    ["-E", "greet.c"],
    ["-E", "-dM", "greet.c"],
    ["-M", "greet.c"],
    ["-MM", "greet.c"],
    ["-S", "-o", "-", "greet.c"],
    ["-print-search-dirs"],
    ["-print-file-name=libc.a"],
    ["-dumpmachine"],
    ["-fsyntax-only", "greet.c"],
    ["-c", "missing.c"],
    ["-c", "greet.c", "-o"],
    ["missing.o", "-o", "program"],
    ["-frobnicate", "-c", "greet.c"],
]


@pytest.mark.parametrize("arguments", PASSED_ON, ids=" ".join)
def test_what_makes_no_object_is_the_compilers(place: Place, arguments: list[str]) -> None:
    ours, theirs = place.cc(*arguments), place.plain(*arguments)
    assert ours.stdout == theirs.stdout
    assert ours.stderr == theirs.stderr
    assert ours.returncode == theirs.returncode


def test_without_standard_output_and_error(place: Place) -> None:
    command = shlex.join([sys.executable, "-m", "upstare", "cc", "-c", "greet.c"])
    assert place.run(["sh", "-c", f"exec {command} >&- 2>&-"]).returncode == 0
    assert len(place.units("greet.o")) == 1


def test_standard_input_is_passed_on(place: Place) -> None:
    ours = place.cc("-x", "c", "-", "-c", "-o", "x.o", text="int x;\n")
    assert ours.returncode == 0
    assert place.units("x.o") == []


@pytest.mark.parametrize("name", ["conftest.c", "conftest.dir/probe.c", "autotest.c", "CMakeScratch/T1/x.c"])
def test_probes_of_configure_hold_no_unit(place: Place, name: str) -> None:
    place.write(name, "int main(void) { return 0; }\n")
    place.good_cc("-c", name, "-o", "probe.o")
    assert place.units("probe.o") == []
    place.good_cc(name, "-o", "probe")
    assert place.transformed("probe") == 0


def test_an_object_holds_its_unit(place: Place) -> None:
    place.good_cc("-c", "greet.c", "-O2", "-g", "-std=gnu99", "-Wall", "-DX=1", "-I.", "-fPIC", "-o", "out.o")
    (unit,) = place.units("out.o")
    assert unit.path == str(place / "greet.c")
    assert unit.flags == ("-O2", "-g", "-std=gnu99", "-fPIC", "-w")
    assert unit.compiler == ("cc",)
    assert b'"hello" " %s' in unit.text
    assert b'# 1 "greet.h" 1' in unit.text


def test_the_rest_of_the_object_is_the_compilers(place: Place) -> None:
    place.good_cc("-c", "greet.c", "-O2", "-g", "-o", "ours.o")
    place.plain("-c", "greet.c", "-O2", "-g", "-o", "theirs.o")
    ours, theirs = elf.read(place / "ours.o"), elf.read(place / "theirs.o")
    for section in theirs.sections:
        if section.name not in (".symtab", ".strtab", ".shstrtab") and not section.name.startswith(".rela"):
            assert ours.section(section.name) == theirs.section(section.name), section.name


def test_compile_without_o(place: Place) -> None:
    place.good_cc("-c", "greet.c")
    assert len(place.units("greet.o")) == 1


def test_several_sources_in_one_compile(place: Place) -> None:
    place.good_cc("-c", "greet.c", "main.c")
    assert [u.path for n in ("greet.o", "main.o") for u in place.units(n)] == [
        str(place / "greet.c"),
        str(place / "main.c"),
    ]


def test_preprocessed_source(place: Place) -> None:
    place.plain("-E", "greet.c", "-o", "greet.i")
    place.good_cc("-c", "greet.i")
    (unit,) = place.units("greet.o")
    assert unit.text == (place / "greet.i").read_bytes()


def test_language_by_option(place: Place) -> None:
    place.write("greet.template", "int f(void) { return 1; }\n")
    place.good_cc("-x", "c", "-c", "greet.template", "-o", "greet.o")
    assert len(place.units("greet.o")) == 1


def test_output_to_nothing(place: Place) -> None:
    place.good_cc("-c", "greet.c", "-o", "/dev/null")


def test_other_languages_are_passed_on(place: Place) -> None:
    place.write("a.S", "#define X 0\n.globl f\nf: ret\n.section .note.GNU-stack\n")
    place.write("b.cc", "int g() { return 1; }\n")
    place.good_cc("-c", "a.S", "b.cc")
    assert place.units("a.o") == place.units("b.o") == []


@pytest.mark.parametrize(
    "flags",
    [
        ["-MD"],
        ["-MMD", "-MP"],
        ["-MD", "-MP", "-MF", "deps", "-MT", "target"],
        ["-MD", "-MFdeps", "-MQ", "tar$get"],
        ["-Wp,-MD,deps"],
        ["-Wp,-MMD,deps,-MT,target"],
    ],
    ids=" ".join,
)
def test_dependency_files_are_the_compilers(place: Place, flags: list[str]) -> None:
    def files() -> dict[str, str]:
        found = {p.name: p for p in place.directory.iterdir() if p.suffix not in (".c", ".h", ".o") and p.is_file()}
        texts = {n: p.read_text() for n, p in found.items()}
        for path in found.values():
            path.unlink()
        return texts

    place.plain(*flags, "-c", "greet.c", "-o", "greet.o")
    theirs = files()
    place.good_cc(*flags, "-c", "greet.c", "-o", "greet.o")
    assert files() == theirs != {}
    assert len(place.units("greet.o")) == 1


def test_dependencies_by_environment(place: Place) -> None:
    place.env["DEPENDENCIES_OUTPUT"] = "deps"
    place.good_cc("-c", "greet.c", "-o", "greet.o")
    assert (place / "deps").read_text().count("greet.o:") == 1


def test_saved_temporaries_are_the_compilers(place: Place) -> None:
    place.plain("-save-temps", "-c", "greet.c", "-o", "greet.o")
    theirs = {p.name for p in place.directory.iterdir()}
    for name in theirs - {"greet.c", "greet.h", "main.c"}:
        (place / name).unlink()
    place.good_cc("-save-temps", "-c", "greet.c", "-o", "greet.o")
    assert {p.name for p in place.directory.iterdir()} >= theirs
    assert len(place.units("greet.o")) == 1


def test_warnings_come_once_and_errors_are_errors(place: Place) -> None:
    place.write("warn.c", "#warning look\nint f(void) { int x; return 0; }\n")
    flags = ("-Wall", "-c", "warn.c", "-o", "warn.o")
    theirs, ours = place.plain(*flags), place.cc(*flags)
    assert (ours.returncode, ours.stderr) == (0, theirs.stderr)
    assert len(place.units("warn.o")) == 1
    (place / "warn.o").unlink()
    ours, theirs = place.cc("-Werror", *flags), place.plain("-Werror", *flags)
    assert (ours.returncode, ours.stderr) == (theirs.returncode, theirs.stderr) != (0, "")
    assert not (place / "warn.o").exists()


def test_werror_with_a_warning_that_preprocessing_brings(place: Place) -> None:
    place.write("odd.c", "#if defined __COUNTER__\n#endif\n#define A 1 // one\nint f(void) { return A; }\n")
    place.good_cc("-Werror", "-Wall", "-Wextra", "-c", "odd.c")


def test_response_files(place: Place) -> None:
    place.write("inner.rsp", "-DNAME='\"a b\"' -O1\n")
    place.write("outer.rsp", '@inner.rsp -c greet.c\n-o "with space.o"')
    place.good_cc("@outer.rsp")
    (unit,) = place.units("with space.o")
    assert unit.flags == ("-O1", "-w")


def test_lto_is_left_out(place: Place) -> None:
    place.good_cc("-flto", "-O2", "-c", "greet.c")
    assert not any(".gnu.lto" in s.name for s in elf.read(place / "greet.o").sections)
    (unit,) = place.units("greet.o")
    assert "-flto" in unit.flags  # so that the link can say that it is left out


def test_units_survive_strip_and_ld_r(place: Place) -> None:
    place.good_cc("-c", "-g", "greet.c", "main.c")
    place.run(["strip", "-g", "greet.o"])
    place.run(["ld", "-r", "greet.o", "main.o", "-o", "both.o"])
    assert [u.path for u in place.units("both.o")] == [str(place / "greet.c"), str(place / "main.c")]


def test_failure_of_ours_removes_the_object(place: Place) -> None:
    (place / "bin").mkdir()
    objcopy = place.write("bin/objcopy", "#!/bin/sh\necho broken >&2\nexit 1\n")
    objcopy.chmod(0o755)
    place.env["PATH"] = f"{place / 'bin'}:{place.env['PATH']}"
    place.write("number.c", "int number = 5;\n")
    result = place.cc("-m32", "-c", "number.c")  # an object that is not of the usual kind
    assert result.returncode == 1
    assert "upstare: error: cannot put the unit into number.o: objcopy ended with 1\nbroken" in result.stderr
    assert not (place / "number.o").exists()


@pytest.mark.parametrize("flags", [["-O2"], ["-g", "-ffunction-sections"], ["-g", "-gz"], ["-fPIC"]], ids=" ".join)
def test_object_with_its_unit_is_the_compilers(place: Place, flags: list[str]) -> None:
    """The section is added by the driver itself: other tools see a whole object, and the rest as it was."""
    place.good_cc(*flags, "-c", "greet.c", "main.c")
    for name in ("greet.o", "main.o"):
        place.run(["objcopy", "--remove-section=.upstare.unit", name, "without.o"])
        place.run(["gcc", *flags, "-c", name.replace(".o", ".c"), "-o", "plain.o"])
        place.run(["objcopy", "plain.o"])
        assert (place / "without.o").read_bytes() == (place / "plain.o").read_bytes()
        assert not place.run(["readelf", "--all", name]).stderr


def test_real_compiler_by_environment(place: Place) -> None:
    place.env["UPSTARE_CC"] = "gcc -O1 -DGREETING2"
    place.good_cc("-c", "greet.c")
    (unit,) = place.units("greet.o")
    assert unit.compiler == ("gcc", "-O1", "-DGREETING2")
    place.env["UPSTARE_CC"] = "no-such-compiler"
    result = place.cc("-c", "greet.c")
    assert result.returncode == 1
    assert "upstare: error: cannot run no-such-compiler: No such file or directory" in result.stderr


def test_digests_depend_on_text_and_flags(place: Place) -> None:
    flags = ("-O2", "-w")
    one = embed.make_unit("a.c", flags, ["cc"], b"int x;")
    assert embed.make_unit("b.c", flags, ["cc"], b"int x;").digest == one.digest
    assert embed.make_unit("a.c", ("-O1", "-w"), ["cc"], b"int x;").digest != one.digest
    assert embed.make_unit("a.c", flags, ["gcc"], b"int x;").digest != one.digest
    assert embed.make_unit("a.c", flags, ["cc"], b"int y;").digest != one.digest
    [read] = embed.decode(embed.encode("a.c", flags, ["cc"], b"int x;"), "test")
    known = ("path", "text", "flags", "compiler", "digest")
    assert [getattr(read, name) for name in known] == [getattr(one, name) for name in known]


def test_a_header_of_any_length() -> None:
    flags = tuple(f"-DTHIS_IS_OPTION_{number}" for number in range(1000))
    [read] = embed.decode(embed.encode("a.c", flags, ["cc"], b"int x;"), "test")
    assert (read.flags, read.text) == (flags, b"int x;")
