"""Shared libraries of the program's own: units and a record in each, and what makes one impossible to take in."""

from __future__ import annotations

import re

import pytest

from tests.driver.place import Place
from upstare.driver import elf
from upstare.driver.sections import add_sections
from upstare.model.description import Description, unpack

ASSEMBLY = ".globl odd\nodd: ret\n.section .note.GNU-stack\n"
RPATH = "-Wl,-rpath,$ORIGIN"


@pytest.fixture
def versioned(place: Place) -> Place:
    """A place where the libraries of a program's own are versioned."""
    place.env["UPSTARE_LIBRARIES"] = "versioned"
    return place


def needed(place: Place, program: str) -> list[str]:
    """The libraries that a file needs, but for the C library."""
    names = elf.read(place / program).dynamic(elf.DT_NEEDED)
    return [n for n in names if not n.startswith(("libc.", "ld-linux"))]


def described(place: Place, program: str = "prog") -> Description:
    """What a program says of itself."""
    data = elf.read_section(place / program, elf.SECTION_DESCRIPTION)
    assert data is not None
    return unpack(data)


def libraries(place: Place) -> dict[str, tuple[bool, int]]:
    """Whether each library of the program is versioned, and its units."""
    return {x.name: (x.versioned, x.units) for x in described(place).libraries if not x.name.startswith("libc.")}


def greets(place: Place) -> None:
    """The program does what the plain one does."""
    assert place.run([str(place / "prog")]).stdout == "hello world\n"


def refused(place: Place, *arguments: str) -> str:
    """The reason for which a program is refused, on one line; the program is not there."""
    result = place.cc(*arguments, "-o", "prog")
    assert (result.returncode, (place / "prog").exists()) == (3, False), result
    assert "UPSTARE_LIBRARIES" in result.stderr
    return result.stderr.splitlines()[0]


def test_opaque_unless_asked(place: Place) -> None:
    place.good_cc("-fPIC", "-shared", "greet.c", "-o", "libgreet.so")
    place.good_cc("main.c", "-L.", "-lgreet", RPATH, "-o", "prog")
    greets(place)
    assert needed(place, "prog") == ["libgreet.so"]
    assert libraries(place) == {"libgreet.so": (False, 1)}
    assert [u.source for u in described(place).units] == [str(place / "main.c")]
    place.env["UPSTARE_LIBRARIES"] = "opaque"
    place.good_cc("main.c", "-L.", "-lgreet", RPATH, "-o", "again")
    assert described(place, "again").libraries == described(place).libraries


@pytest.mark.parametrize("how", ["-L. -lgreet", "-Wl,-L.,-lgreet", "./libgreet.so.1", "-lgreet -L. -lgreet"])
@pytest.mark.parametrize("pie", ["-pie", "-no-pie"])
def test_versioned_is_part_of_the_program(versioned: Place, how: str, pie: str) -> None:
    versioned.good_cc("-c", "-fPIC", "greet.c")
    versioned.good_cc("-shared", "greet.o", "-Wl,-soname,libgreet.so.1", "-o", "libgreet.so.1")
    (versioned / "libgreet.so").symlink_to("libgreet.so.1")
    versioned.good_cc("-fPIE", pie, "main.c", *how.split(), "-o", "prog")
    (versioned / "libgreet.so.1").unlink()
    greets(versioned)
    assert needed(versioned, "prog") == []
    assert libraries(versioned) == {"libgreet.so.1": (True, 1)}
    assert versioned.transformed("prog") == 2
    exported = {s.name for s in elf.read(versioned / "prog").symbols(".dynsym") if s.defined}
    assert {"greet", "greeted"} <= exported  # to plug-ins, as the library was


@pytest.mark.parametrize("choice", ["greet", "libgreet.so", "other,greet"])
def test_chosen_by_name(place: Place, choice: str) -> None:
    place.env["UPSTARE_LIBRARIES"] = choice
    place.write("more.c", "int more(void) { return 1; }\n")
    place.write("main.c", '#include "greet.h"\nint more(void);\nint main(void) { return greet("world") < more(); }\n')
    place.good_cc("-fPIC", "-shared", "greet.c", "-o", "libgreet.so")
    place.good_cc("-fPIC", "-shared", "more.c", "-o", "libmore.so")
    result = place.cc("main.c", "-L.", "-lmore", "-lgreet", RPATH, "-o", "prog")
    greets(place)
    warning = "upstare: warning: prog is not linked with other (UPSTARE_LIBRARIES)\n" if "other" in choice else ""
    assert result.stderr == warning
    assert libraries(place) == {"libgreet.so": (True, 1), "libmore.so": (False, 1)}


def test_a_library_that_the_linker_leaves_out_is_left_out(versioned: Place) -> None:
    versioned.write("more.c", "int more(void) { return 1; }\n")
    versioned.good_cc("-fPIC", "-shared", "more.c", "-o", "libmore.so")
    versioned.good_cc("main.c", "greet.c", "-Wl,--as-needed", "-L.", "-lmore", "-o", "prog")
    greets(versioned)
    assert (needed(versioned, "prog"), libraries(versioned)) == ([], {})


def test_libraries_of_libraries(versioned: Place) -> None:
    """Those of the program's own come with the first, also when the program does not name them; the others stay."""
    versioned.write("sub/count.c", "int count(void) { return 1; }\n")
    versioned.write("sub/plain.c", "#include <math.h>\nint plain(int x) { return (int)sqrt(x); }\n")
    versioned.write(
        "greet.c",
        "#include <stdio.h>\n#include <math.h>\nint count(void), plain(int);\n"
        'int greet(const char *name) { return printf("hello %s\\n", name) + (int)cbrt(count() + plain(4)); }\n',
    )
    where = ["-Lsub", f"-Wl,-rpath,{versioned / 'sub'}"]
    versioned.plain("-fPIC", "-shared", "sub/plain.c", "-lm", "-o", "sub/libplain.so")
    versioned.good_cc("-fPIC", "-shared", "sub/count.c", "-o", "sub/libcount.so")
    versioned.good_cc("-fPIC", "-shared", "greet.c", *where, "-lcount", "-lplain", "-lm", "-o", "libgreet.so")
    versioned.good_cc("main.c", "-L.", "-lgreet", "-o", "prog")
    greets(versioned)
    assert sorted(needed(versioned, "prog")) == ["libm.so.6", "libplain.so"]
    opaque = {"libplain.so": (False, 0), "libm.so.6": (False, 0)}
    assert libraries(versioned) == {"libgreet.so": (True, 1), "libcount.so": (True, 1), **opaque}
    patch = described(versioned).link
    assert {f"-L{versioned / 'sub'}", "-l:libplain.so"} <= set(patch) and "-lgreet" not in patch


def test_libraries_that_need_one_another(versioned: Place) -> None:
    versioned.write("ping.c", "int pong(int); int ping(int n) { return n ? pong(n - 1) : 1; }\n")
    versioned.write("pong.c", "int ping(int); int pong(int n) { return n ? ping(n - 1) : 0; }\n")
    versioned.good_cc("-fPIC", "-shared", "ping.c", "-o", "libping.so")
    versioned.good_cc("-fPIC", "-shared", "pong.c", "-L.", "-lping", "-o", "libpong.so")
    versioned.good_cc("-fPIC", "-shared", "ping.c", "-L.", "-lpong", "-o", "libping.so")
    versioned.write("main.c", "int ping(int); int main(void) { return ping(3); }\n")
    versioned.good_cc("main.c", "-L.", "-lping", "-Wl,-rpath-link,.", "-o", "prog")
    assert versioned.run([str(versioned / "prog")]).returncode == 0
    assert libraries(versioned) == {"libping.so": (True, 1), "libpong.so": (True, 1)}


ORDER = '#include <stdio.h>\nint {0}(void) {{ return 1; }}\n' + "".join(
    f'__attribute__(({kind}{number})) static void {{0}}_{kind}{n}(void) {{{{ puts("{{0}} {kind}{number}"); }}}}\n'
    for kind in ("constructor", "destructor")
    for n, number in enumerate(("", "(101)", "(2000)"))
)


def test_constructors_and_destructors_run_in_the_same_order(versioned: Place) -> None:
    """Those of a library before those of the program, whatever their priorities, and after those of what it needs."""
    for name in ("second", "third"):
        versioned.write(f"{name}.c", ORDER.format(name))
    versioned.write("first.c", ORDER.format("first") + "int third(void); int needs(void) { return third(); }\n")
    versioned.good_cc("-fPIC", "-shared", "third.c", "-o", "libthird.so")
    versioned.good_cc("-fPIC", "-shared", "second.c", "-o", "libsecond.so")
    versioned.good_cc("-fPIC", "-shared", "first.c", "-L.", "-lthird", "-o", "libfirst.so")
    calls = "int first(void), second(void), third(void);\nint main(void) { return first() + second() + third() - 3; }\n"
    versioned.write("main.c", ORDER.format("program") + calls)
    command = ["main.c", "-L.", "-lthird", "-lfirst", "-lsecond", RPATH]
    versioned.plain(*command, "-o", "plain")
    versioned.good_cc(*command, "-o", "prog")
    theirs = versioned.run([str(versioned / "plain")]).stdout
    assert theirs.count("\n") == 24
    assert versioned.run([str(versioned / "prog")]).stdout == theirs
    assert len(libraries(versioned)) == 3


# ---- what is refused -------------------------------------------------------------------------------------------------


def test_code_without_a_unit(versioned: Place) -> None:
    versioned.write("odd.S", ASSEMBLY)
    versioned.plain("-c", "-fPIC", "odd.S", "-o", "odd.o")
    for odd in ("odd.S", "odd.o"):
        versioned.good_cc("-fPIC", "-shared", "greet.c", odd, "-o", "libgreet.so")
        said = refused(versioned, "main.c", "-L.", "-lgreet")
        assert "libgreet.so cannot be versioned with prog: it holds code that was not compiled by upstare cc" in said
        assert f"({odd})" in said
    versioned.run(["ar", "crs", "libodd.a", "odd.o"])
    versioned.good_cc("-fPIC", "-shared", "greet.c", "libodd.a", "-o", "libgreet.so")
    versioned.good_cc("main.c", "-L.", "-lgreet", "-o", "prog")  # nothing took the member out of its archive


def test_linked_by_another(versioned: Place) -> None:
    versioned.good_cc("-c", "-fPIC", "greet.c")
    versioned.plain("-shared", "greet.o", "-o", "libgreet.so")
    assert "it was not linked by upstare cc" in refused(versioned, "main.c", "-L.", "-lgreet")
    versioned.plain("-fPIC", "-shared", "greet.c", "-o", "libgreet.so")
    versioned.good_cc("main.c", "-L.", "-lgreet", RPATH, "-o", "prog")
    assert libraries(versioned) == {"libgreet.so": (False, 0)}
    (versioned / "prog").unlink()
    versioned.env["UPSTARE_LIBRARIES"] = "greet"
    assert "it was not built by upstare cc" in refused(versioned, "main.c", "-L.", "-lgreet")


@pytest.mark.parametrize("option", ["-Wl,--wrap=puts", "-Wl,--defsym=hi=greet", "-Wl,-init,greet", "-z,initfirst"])
def test_more_than_its_objects(versioned: Place, option: str) -> None:
    words = option.split(",") if option.startswith("-z") else [option]
    versioned.good_cc("-fPIC", "-shared", "greet.c", *words, "-o", "libgreet.so")
    said = refused(versioned, "main.c", "-L.", "-lgreet")
    assert re.search(r"it was linked with (--wrap=puts|--defsym=hi=greet|-init|initfirst)$", said)


def test_both_define_a_name(versioned: Place) -> None:
    versioned.good_cc("-fPIC", "-shared", "greet.c", "-o", "libgreet.so")
    versioned.write("other.c", "int greeted;\n")
    said = refused(versioned, "main.c", "other.c", "-L.", "-lgreet")
    assert "it defines greeted, and so does another part of the program" in said


def test_an_opaque_library_in_front_defines_a_name(versioned: Place) -> None:
    """Then its definition counts, and would not any more in a program that has its own."""
    versioned.good_cc("-fPIC", "-shared", "greet.c", "-o", "libgreet.so")
    versioned.write("other.c", "int greeted = 5; int other = 3;\n")
    versioned.plain("-fPIC", "-shared", "other.c", "-o", "libother.so")
    text = '#include "greet.h"\nextern int other;\nint main(void) { return greet("world") < other; }\n'
    versioned.write("main.c", text)
    said = refused(versioned, "main.c", "-L.", "-lother", "-lgreet")
    assert "it defines greeted, and so does another part of the program" in said
    versioned.good_cc("main.c", "-L.", "-lgreet", "-lother", RPATH, "-o", "prog")
    greets(versioned)


@pytest.mark.parametrize("private", ['__attribute__((visibility("hidden"))) ', ""], ids=["hidden", "script"])
@pytest.mark.parametrize("other", ["int helper(void) { return 1; }", "int helper(void); int (*x)(void) = helper;"])
def test_a_private_name_that_others_have(versioned: Place, private: str, other: str) -> None:
    """In the library it would be another one than in the program."""
    versioned.write("inside.c", f"{private}int helper(void) {{ return 2; }}\n")
    versioned.write("local.map", "{ global: greet; greeted; local: *; };\n")
    script = [] if private else ["-Wl,--version-script=local.map"]
    versioned.good_cc("-fPIC", "-shared", "greet.c", "inside.c", *script, "-o", "libgreet.so")
    versioned.good_cc("main.c", "-L.", "-lgreet", "-o", "prog")
    (versioned / "prog").unlink()
    versioned.write("helper.c", "int helper(void) { return 1; }\n")
    versioned.plain("-fPIC", "-shared", "helper.c", "-o", "libhelper.so")
    versioned.write("other.c", other + "\n")
    said = refused(versioned, "main.c", "other.c", "-L.", "-lgreet", "-lhelper")
    assert "its helper is private, and the program has or wants another one" in said


def test_names_of_what_the_linker_did_not_take(versioned: Place) -> None:
    """An archive may have members of any name, as long as they stay there."""
    versioned.good_cc("-fPIC", "-shared", "greet.c", "-o", "libgreet.so")
    versioned.write("other.c", "int greeted; int other;\n")
    versioned.plain("-c", "other.c")
    versioned.run(["ar", "crs", "libother.a", "other.o"])
    versioned.good_cc("main.c", "-L.", "-lgreet", "-lother", "-o", "prog")
    greets(versioned)
    versioned.write("main.c", '#include "greet.h"\nextern int other;\nint main(void) { return greet("w") < other; }\n')
    said = refused(versioned, "main.c", "-L.", "-lother", "-lgreet")
    assert "it defines greeted, and so does another part of the program" in said


def test_private_names_stay_private(versioned: Place) -> None:
    versioned.write("inside.c", "int helper(void) { return 2; }\n")
    versioned.write("local.map", "{ global: greet; greeted; local: *; };\n")
    script = "-Wl,--version-script=local.map"
    versioned.good_cc("-fPIC", "-shared", "greet.c", "inside.c", script, "-o", "libgreet.so")
    versioned.good_cc("-rdynamic", "main.c", "-L.", "-lgreet", "-o", "prog")
    assert "helper" not in {s.name for s in elf.read(versioned / "prog").symbols(".dynsym")}


def test_an_opaque_library_that_needs_it(versioned: Place) -> None:
    versioned.good_cc("-fPIC", "-shared", "greet.c", "-o", "libgreet.so")
    versioned.write("user.c", 'int greet(const char *);\nint user(void) { return greet("you"); }\n')
    versioned.plain("-fPIC", "-shared", "user.c", "-L.", "-lgreet", "-o", "libuser.so")
    versioned.write("over.c", "int user(void);\nint over(void) { return user(); }\n")
    versioned.plain("-fPIC", "-shared", "over.c", "-L.", "-luser", "-o", "libover.so")
    versioned.good_cc("main.c", "-L.", "-lgreet", "-Wl,--as-needed", "-luser", "-o", "prog")  # the linker leaves it out
    (versioned / "prog").unlink()
    for name in ("-luser", "-lover"):
        said = refused(versioned, "main.c", "-L.", "-lgreet", "-Wl,--no-as-needed", name, "-Wl,-rpath-link,.")
        assert "libuser.so is opaque and needs it, so there would be two of it" in said


def test_a_unit_of_both(versioned: Place) -> None:
    versioned.good_cc("-c", "-fPIC", "greet.c")
    versioned.good_cc("-shared", "greet.o", "-o", "libgreet.so")
    said = refused(versioned, "main.c", "greet.o", "-Wl,--no-as-needed", "-L.", "-lgreet")
    assert f"{versioned / 'greet.c'} is in it and in prog" in said


def test_a_path_that_means_something_else(versioned: Place) -> None:
    versioned.write("plain.c", "int plain(void) { return 1; }\n")
    versioned.plain("-fPIC", "-shared", "plain.c", "-o", "libplain.so")
    wanted = ["-Wl,--no-as-needed", "-L.", "-lplain"]
    versioned.good_cc("-fPIC", "-shared", "greet.c", *wanted, RPATH, "-o", "libgreet.so")
    said = refused(versioned, "main.c", "-L.", "-lgreet", "-Wl,-rpath-link,.")
    assert "it finds what it needs by $ORIGIN, which means something else in the program" in said
    versioned.good_cc("main.c", "-L.", "-lgreet", *wanted, RPATH, "-o", "prog")
    greets(versioned)


def test_symbol_versions(versioned: Place) -> None:
    text = (versioned / "greet.c").read_text().replace("int greet(", "int hi(")
    versioned.write("greet.c", text + '__asm__(".symver hi, greet@@V1");\n')
    versioned.write("v1.map", "V1 { global: greet; };\n")
    versioned.good_cc("-fPIC", "-shared", "greet.c", "-Wl,--version-script=v1.map", "-o", "libgreet.so")
    assert "it has symbol versions (greet@@V1)" in refused(versioned, "main.c", "-L.", "-lgreet")


# ---- the library itself ----------------------------------------------------------------------------------------------


def test_a_library_without_units_stays_as_it_is(place: Place) -> None:
    place.plain("-c", "-fPIC", "greet.c")
    place.good_cc("-shared", "greet.o", "-o", "ours.so")
    place.plain("-shared", "greet.o", "-o", "theirs.so")
    assert (place / "ours.so").read_bytes() == (place / "theirs.so").read_bytes()


def test_a_library_for_another_processor_stays_as_it_is(place: Place) -> None:
    place.write("small.c", "int small;\n")
    if place.plain("-m32", "-c", "small.c").returncode != 0:
        pytest.skip("the compiler does not know -m32")
    place.good_cc("-m32", "-fPIC", "-shared", "-nostdlib", "small.c", "-o", "libsmall.so")


def test_a_damaged_record(versioned: Place) -> None:
    versioned.good_cc("-fPIC", "-shared", "greet.c", "-o", "libgreet.so")
    add_sections(versioned / "libgreet.so", {elf.SECTION_LIBRARY: b"{]"})
    result = versioned.cc("main.c", "-L.", "-lgreet", "-o", "prog")
    assert (result.returncode, (versioned / "prog").exists()) == (1, False)
    assert "what libgreet.so says of itself is damaged" in result.stderr.replace(str(versioned.directory) + "/", "")
