"""Whole projects, built as their users build them, with the driver as the compiler."""

from __future__ import annotations

import shlex
import shutil

import pytest

from tests.driver.place import CC, Place
from upstare.driver import elf

CONFIGURE_AC = """\
AC_INIT([greet], [1.0])
AM_INIT_AUTOMAKE([foreign subdir-objects])
AM_PROG_AR
@LIBTOOL@
AC_PROG_CC
AC_PROG_RANLIB
AC_CHECK_HEADERS([stdlib.h no_such_header.h])
AC_CHECK_FUNCS([strlcpy_not poll])
AC_CHECK_SIZEOF([long])
AC_SEARCH_LIBS([sqrt], [m])
AC_CONFIG_HEADERS([config.h])
AC_CONFIG_FILES([Makefile])
AC_OUTPUT
"""

MAKEFILE_AM = """\
AM_CFLAGS = -Wall -Werror
bin_PROGRAMS = greet
greet_SOURCES = main.c greet.h
noinst_LIBRARIES = libgreet.a
libgreet_a_SOURCES = lib/greet.c
greet_LDADD = libgreet.a
AM_CPPFLAGS = -I$(srcdir)
"""

MAKEFILE_AM_LIBTOOL = """\
AM_CFLAGS = -Wall -Werror
bin_PROGRAMS = greet
greet_SOURCES = main.c greet.h
noinst_LTLIBRARIES = libinner.la
libinner_la_SOURCES = lib/greet.c
lib_LTLIBRARIES = libouter.la
libouter_la_SOURCES = outer.c
greet_LDADD = libinner.la libouter.la
AM_CPPFLAGS = -I$(srcdir)
"""


def configure(place: Place, libtool: bool) -> str:
    """A configured project in the place; what configure said."""
    tools = ["autoreconf", "automake", "make", *(["libtoolize"] if libtool else [])]
    missing = [tool for tool in tools if shutil.which(tool) is None]
    if missing:
        pytest.skip(f"not installed: {', '.join(missing)}")
    place.write("configure.ac", CONFIGURE_AC.replace("@LIBTOOL@", "LT_INIT" if libtool else ""))
    place.write("Makefile.am", MAKEFILE_AM_LIBTOOL if libtool else MAKEFILE_AM)
    place.write("outer.c", "int outer(void);\nint outer(void) { return 0; }\n")
    (place / "lib").mkdir()
    (place / "greet.c").rename(place / "lib/greet.c")
    place.write(
        "main.c",
        '#include "config.h"\n#include "greet.h"\n'
        "#if SIZEOF_LONG != 8 || defined HAVE_NO_SUCH_HEADER_H || !defined HAVE_POLL\n#error\n#endif\n"
        + ("int outer(void);\n" if libtool else "#define outer() 0\n")
        + 'int main(void) { return greet("world") < 0 || outer(); }\n',
    )
    prepared = place.run(["autoreconf", "-fi"])
    assert prepared.returncode == 0, prepared.stderr
    result = place.run(["./configure", f"CC={shlex.join(CC)}"])
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


@pytest.mark.parametrize("libtool", [False, True], ids=["automake", "libtool"])
def test_autoconf_project(place: Place, libtool: bool) -> None:
    said = configure(place, libtool)
    assert "checking whether the compiler supports GNU C... yes" in said
    made = place.run(["make"])
    assert made.returncode == 0, made.stdout + made.stderr
    assert "warning" not in made.stderr
    program = ".libs/greet" if libtool else "greet"
    assert place.transformed(program) == 2
    assert place.run(["./greet"]).stdout == "hello world\n"
    assert "simple_cc" not in place.run(["make"]).stdout, "something is not up to date after make"
    installed = place.run(["make", "install-strip", f"DESTDIR={place / 'root'}"])
    assert installed.returncode == 0, installed.stderr
    sections = {s.name for s in elf.read(place / "root/usr/local/bin/greet").sections}
    assert {elf.SECTION_POINTS, elf.SECTION_DESCRIPTION} <= sections


def test_plain_make_with_old_habits(place: Place) -> None:
    place.write(
        "Makefile",
        "CFLAGS = -O2 -Wp,-MMD,.$@.d -Werror -fstack-protector-strong -D_FORTIFY_SOURCE=2\n"
        "LDFLAGS = -Wl,-z,relro,-z,now -pie -Wl,--as-needed -Wl,--gc-sections\n"
        "greet: main.o parts.o\n\t$(CC) $(LDFLAGS) -o $@ $^ -lm\n"
        "parts.o: greet.o\n\t$(LD) -r -o $@ $^\n",
    )
    made = place.run(["make", f"CC={shlex.join(CC)}"])
    assert made.returncode == 0, made.stdout + made.stderr
    assert place.transformed("greet") == 2
    assert place.run(["./greet"]).stdout == "hello world\n"
