"""Compiler options of real projects, on real builds: the program runs as the plain one does, under the storm too."""

from __future__ import annotations

import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.tool import environment
from upstare.driver import elf

PROGRAM = """\
#include <stdio.h>
#include <string.h>
#include "parts.h"
#ifdef TENTATIVE
int shared;
#endif
int shared_too = 3;
static int twice(int x) { int i; for (i = 0; i < 1; i++) x *= 2; return x; }
static double mean(const double *v, int n) { double s = 0; int i; for (i = 0; i < n; i++) s += v[i]; return s / n; }
int main(int argc, char **argv) {
  char text[40];
  double values[4];
  struct pair p;
  int i, sum = 0;
  enum small small = (enum small)(argc + 1);
  char wide = (char)200;
  for (i = 0; i < 4; i++) values[i] = twice(i) + 0.5;
  strcpy(text, "parts ");
  strcat(text, argc > 1 ? argv[1] : "alone");
  p = split(twice(21));
  for (i = 0; i < 5; i++) { sum += weigh(i, &sum) + fact(i); shared += twice(i); }
  printf("%s %d %d %d %.3f %d %d %d %d\\n", text, p.low, p.high, sum, mean(values, 4), shared + shared_too,
         wide < 0, (int)sizeof small, small == TWO);
  return sum & 7;
}
"""
PARTS = """\
#include "parts.h"
int shared;
struct pair split(int x) { struct pair p; p.low = weigh(x, &x) & 15; p.high = x >> 4; return p; }
int weigh(int x, int *at) { int i, s = *at; for (i = 0; i < x; i++) s += fact(i & 3); return s; }
long fact(int n) { return n < 2 ? 1 : n * fact(n - 1); }
"""
HEADER = """\
struct pair { int low, high; };
enum small { ONE = 1, TWO };
extern int shared, shared_too;
struct pair split(int x);
int weigh(int x, int *at);
long fact(int n);
"""

#: Options for compiling and linking. Each line is built with gcc; those in BOTH with clang, too.
BOTH = [
    "-O0", "-O1", "-O2", "-O3", "-Os", "-g -O2",
    "-O2 -fno-asynchronous-unwind-tables -fno-unwind-tables -fno-exceptions",
    "-O2 -fomit-frame-pointer", "-O2 -fno-omit-frame-pointer", "-O0 -fomit-frame-pointer",
    "-O2 -fstack-protector-strong -D_FORTIFY_SOURCE=2", "-O2 -fstack-protector-all -fstack-clash-protection",
    "-O2 -fcf-protection=full", "-O2 -no-pie -fno-pie", "-O2 -pie -fPIE", "-O2 -pie -fPIC", "-O2 -fno-plt -Wl,-z,now",
    "-O2 -g -gsplit-dwarf", "-O2 -ffunction-sections -fdata-sections -Wl,--gc-sections",
    "-O3 -march=native -ffast-math", "-O2 -funsigned-char", "-O2 -fshort-enums", "-O2 -fvisibility=hidden -rdynamic",
    "-O2 -std=c89", "-O2 -std=gnu89", "-O2 -std=c99", "-O2 -std=c11", "-O2 -std=c17", "-O2 -std=gnu17",
    "-O2 -ftrivial-auto-var-init=pattern", "-O2 -pg", "-O2 -s",
]  # fmt: skip
GCC = [
    "-Og", "-O2 -fsanitize=undefined", "-O2 -fcommon -DTENTATIVE", "-O2 -fno-common -fno-builtin",
    "-O2 -Wa,--noexecstack,-adhln=listing -Wa,-mrelax-relocations=no", "-O2 -fno-toplevel-reorder -fno-inline",
    "-O3 -funroll-loops -fipa-pta -fno-strict-aliasing", "-O2 -fuse-ld=gold", "-O2 -mcmodel=large -fno-pie -no-pie",
    "-O2 -fwrapv -frounding-math -fexceptions", "-O2 -m128bit-long-double -fpack-struct=4",
    "-O2 -std=iso9899:1999 -pedantic",
]  # fmt: skip
LINES = [("gcc", line) for line in [*BOTH, *GCC]] + [("clang", line) for line in BOTH if "auto-var-init" not in line]


class Project:
    """A program of two units in a directory, built plainly and made updateable."""

    def __init__(self, directory: Path, compiler: str) -> None:
        self.directory, self.compiler = directory, compiler
        for name, text in (("main.c", PROGRAM), ("parts.c", PARTS), ("parts.h", HEADER)):
            (directory / name).write_text(text)

    def run(self, *words: str, **env: str) -> subprocess.CompletedProcess[str]:
        """A program in the directory."""
        return subprocess.run(
            words, cwd=self.directory, env=environment(**env), capture_output=True, text=True, timeout=120, check=False
        )

    def upstare(self, *words: str) -> subprocess.CompletedProcess[str]:
        """``upstare cc``."""
        choices = {"UPSTARE_CC": self.compiler, "UPSTARE_POINTS": "strict"}
        return self.run(sys.executable, "-m", "upstare", "cc", *words, **choices)

    def built(self, line: str, sources: str = "main.c parts.c") -> None:
        """Both programs, the updateable one in two steps."""
        flags, files = shlex.split(line), sources.split()
        plain = self.run(*self.compiler.split(), *flags, *files, "-o", "plain")
        assert plain.returncode == 0, plain.stderr
        compiled = self.upstare(*flags, "-c", *files)
        assert compiled.returncode == 0, compiled.stderr
        linked = self.upstare(*flags, *(str(Path(f).with_suffix(".o")) for f in files), "-o", "program")
        assert (linked.returncode, linked.stderr) == (0, "")

    def compare(self) -> None:
        """The updateable program does what the plain one does, under storms that storm."""
        expected = self.run("./plain", "more")
        assert expected.stdout.startswith("parts more ")
        for storm in ("", "1", "7"):
            log = self.directory / "storms"
            log.unlink(missing_ok=True)
            got = self.run("./program", "more", UPSTARE_STORM=storm, UPSTARE_STORM_LOG=str(log))
            assert (got.returncode, got.stdout, got.stderr) == (expected.returncode, expected.stdout, expected.stderr)
            if storm == "1":
                words = log.read_text().split()
                assert int(words[words.index("storms") + 1]) > 50


@pytest.fixture
def project(tmp_path: Path, request: pytest.FixtureRequest) -> Project:
    """A fresh project for the compiler that the test names (gcc if it names none)."""
    compiler = getattr(request, "param", "gcc")
    if shutil.which(compiler) is None:
        pytest.skip(f"{compiler} is not installed")
    return Project(tmp_path, compiler)


@pytest.mark.parametrize(("project", "line"), LINES, indirect=["project"], ids=[f"{c} {o}" for c, o in LINES])
def test_options_that_work(project: Project, line: str) -> None:
    project.built(line)
    project.compare()


REFUSED = [
    ("-O1 -fsanitize=address", "-fsanitize=address"),
    ("-O1 -fsanitize=undefined,thread", "-fsanitize=undefined,thread"),
    ("-O1 --coverage", "--coverage"),
    ("-O1 -fprofile-generate", "-fprofile-generate"),
    ("-O1 -finstrument-functions", "-finstrument-functions"),
    ("-O1 -fsplit-stack", "-fsplit-stack"),
    ("-O1 -ffixed-r15", "-ffixed-r15"),
]


@pytest.mark.parametrize(("line", "option"), REFUSED)
def test_options_that_are_refused(project: Project, line: str, option: str) -> None:
    result = project.upstare(*line.split(), "main.c", "parts.c", "-o", "program")
    assert result.returncode == 3, result.stderr
    assert f"upstare: error: {project.directory / 'main.c'} is compiled with {option}: " in result.stderr
    assert "hint: leave the option away" in result.stderr
    assert not (project.directory / "program").exists()


@pytest.mark.parametrize("line", ["-static", "-static-pie -fPIE"])
def test_static_programs_are_refused(project: Project, line: str) -> None:
    result = project.upstare(*line.split(), "main.c", "parts.c", "-o", "program")
    assert (result.returncode, (project.directory / "program").exists()) == (3, False)
    assert "program is statically linked: it cannot load a new version" in result.stderr


def test_32_bit_programs_are_refused(project: Project) -> None:
    (project.directory / "bare.c").write_text("void _start(void) { for (;;) { } }\n")
    result = project.upstare("-m32", "-nostdlib", "-fno-pie", "-no-pie", "bare.c", "-o", "program")
    assert (result.returncode, (project.directory / "program").exists()) == (3, False)
    assert "program is a 32-bit program" in result.stderr


@pytest.mark.parametrize("project", ["gcc", "clang"], indirect=True)
@pytest.mark.parametrize("line", ["-flto", "-flto=auto -ffat-lto-objects", "-fprofile-use=none"])
def test_options_that_are_left_out(project: Project, line: str) -> None:
    if project.compiler == "clang" and line != "-flto":
        pytest.skip("an option of gcc")
    flags = ["-O2", *line.split()]
    assert project.run(project.compiler, "-O2", "main.c", "parts.c", "-o", "plain").returncode == 0
    compiled = project.upstare(*flags, "-c", "main.c", "parts.c")
    assert compiled.returncode == 0, compiled.stderr
    linked = project.upstare(*flags, "main.o", "parts.o", "-o", "program")
    assert linked.returncode == 0
    assert linked.stderr.count("upstare: warning: program is built without ") == linked.stderr.count("\n") == 1
    project.compare()


def test_commands_around_the_compiler(project: Project) -> None:
    wrapper = project.directory / "remembers"
    wrapper.write_text('#!/bin/sh\nexec "$@"\n')
    wrapper.chmod(0o755)
    project.compiler = f"{wrapper} gcc"
    project.built("-O2 -MD -pipe")
    project.compare()


def test_sources_by_other_names(project: Project) -> None:
    for name in ("main", "parts"):
        (project.directory / f"{name}.c").rename(project.directory / f"{name}.txt")
    (project.directory / "flags.rsp").write_text("-O2 -x c main.txt 'parts.txt' -x none\n-save-temps")
    assert project.run("gcc", "@flags.rsp", "-o", "plain").returncode == 0
    result = project.upstare("@flags.rsp", "-o", "program")
    assert (result.returncode, result.stderr) == (0, "")
    assert (project.directory / "program-main.i").exists()
    project.compare()


def test_units_of_two_compilers(project: Project) -> None:
    if shutil.which("clang") is None:
        pytest.skip("clang is not installed")
    project.built("-O2")
    project.compiler = "clang"
    assert project.upstare("-O2", "-c", "parts.c").returncode == 0
    for compiler in ("gcc", "clang"):
        project.compiler = compiler
        linked = project.upstare("main.o", "parts.o", "-o", "program")
        assert (linked.returncode, linked.stderr) == (0, "")
        shown = project.run(sys.executable, "-m", "upstare", "inspect", "program")
        assert "scheme     flag" in shown.stdout
        project.compare()


@pytest.mark.parametrize("line", ["-O2 -fvisibility=hidden", "-O2 -DHIDDEN"])
def test_hidden_names_do_not_reach_libraries(project: Project, line: str) -> None:
    """A library that has a function and a variable of the same names goes on using its own."""
    (project.directory / "lib.c").write_text(
        "int shared = 10;\nint hook(void) { return shared; }\nint call(void) { return hook() + shared; }\n"
    )
    (project.directory / "hides.c").write_text(
        "#include <stdio.h>\n#ifdef HIDDEN\n#pragma GCC visibility push(hidden)\n#endif\nextern int shared;\n"
        'int hook(void);\n#ifdef HIDDEN\n#pragma GCC visibility pop\n#endif\n__attribute__((visibility("default"))) '
        "int call(void);\nint shared = 1000;\n"
        "int hook(void) { int i; for (i = 0; i < 100; i++) shared += i > 98; return shared; }\n"
        'int main(void) { int first = call(); printf("parts more %d %d\\n", first, hook()); return 0; }\n'
    )
    assert project.run("gcc", "-shared", "-fPIC", "lib.c", "-o", "libhooked.so").returncode == 0
    flags = [*line.split(), "hides.c", "-L.", "-lhooked", f"-Wl,-rpath,{project.directory}"]
    assert project.run("gcc", *flags, "-o", "plain").returncode == 0
    assert project.run("./plain").stdout == "parts more 20 1001\n"
    result = project.upstare(*flags, "-o", "program")
    assert (result.returncode, result.stderr) == (0, "")
    assert project.run("./program").stdout == "parts more 20 1001\n"


def test_no_shadow_stack_is_promised(project: Project) -> None:
    """A stack that is rebuilt does not fit the processor's copy of its return addresses."""
    project.built("-O2 -fcf-protection=full")
    notes = project.run("readelf", "-n", "program").stdout
    assert "Build ID" in notes and "SHSTK" not in notes


def test_recompile_keeps_no_side_files(project: Project) -> None:
    project.built("-O2 -Wa,-adhln=listing -save-temps -g -gsplit-dwarf")
    listing = (project.directory / "listing").read_text()
    assert "upstare" not in listing
    before = {p.name for p in project.directory.iterdir()}
    assert not [name for name in before if "upstare" in name]
    assert elf.read_section(project.directory / "program", elf.SECTION_POINTS)


