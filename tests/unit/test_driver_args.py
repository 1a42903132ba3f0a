"""gcc command lines, read."""

from __future__ import annotations

import pytest

from upstare.driver import args


def kinds(*arguments: str) -> list[tuple[str, str]]:
    """Kind and operand of each token."""
    return [(t.kind, t.value) for t in args.parse(arguments).tokens]


def test_every_word_ends_up_in_one_token() -> None:
    words = "-O2 -I inc -Iinc2 -D A=1 -c a.c -o a.o -MF x -L lib -lm -x c b -Wall -pthread -std=c99 --param x=1".split()
    assert [w for t in args.parse(words).tokens for w in t.words] == words


@pytest.mark.parametrize(
    ("word", "kind"),
    [
        ("-MD", args.DEPENDENCIES),
        ("-Wp,-D_FORTIFY_SOURCE=2", args.PREPROCESS),
        ("-Wall", args.WARN),
        ("-Wl,-z,now", args.LINK),
        ("-fuse-ld=gold", args.LINK),
        ("-flto=auto", args.LTO),
        ("-fno-strict-aliasing", args.COMPILE),
        ("-march=native", args.COMPILE),
        ("-gdwarf-4", args.COMPILE),
        ("-O", args.COMPILE),
        ("-s", args.STRIP),
        ("-shared", args.LINK),
        ("-isystem/x", args.PREPROCESS),
        ("-save-temps=obj", args.SIDE),
        ("-fdump-tree-all", args.SIDE),
        ("--sysroot=/x", args.COMMON),
        ("-no-pie", args.LINK),
        ("-lm", args.LIBRARY),
        ("-static-libgcc", args.LINK),
    ],
)
def test_kinds(word: str, kind: str) -> None:
    assert {t.kind for t in args.parse([word, "a.c"]).tokens} == {kind, args.INPUT}


def test_files_inside_linker_options() -> None:
    assert kinds("-Wl,--whole-archive,x.a,-rpath,lib.a,-lm", "-Xlinker", "y.a") == [
        (args.LINK, "--whole-archive"),
        (args.INPUT, "x.a"),
        (args.LINK, "-rpath"),
        (args.LINK, "lib.a"),
        (args.LIBRARY, "m"),
        (args.INPUT, "y.a"),
    ]


def test_languages() -> None:
    command = args.parse(["a.c", "-x", "c", "b.txt", "c.o", "-xnone", "d.o", "e.S", "f.i"])
    assert [t.language for t in command.inputs] == ["c", "c", "c", None, "assembler-with-cpp", "cpp-output"]
    assert [t.value for t in command.c_sources] == ["a.c", "b.txt", "c.o", "f.i"]


def test_preprocessing_has_no_side_effects() -> None:
    command = args.parse(
        "-O2 -Ia -include x.h -MMD -MP -MFdeps -Wp,-MD,d,-DX -Wp,-MD,e -save-temps -Werror -v -c a.c b.c -lm".split()
    )
    (a, _) = command.c_sources
    assert command.preprocess(a) == "-O2 -Ia -include x.h -Wp,-DX -w -E a.c".split()


def test_recompile_flags() -> None:
    command = args.parse(
        "-O2 -g -Ia -DX -Wall -Wextra -std=gnu89 -ansi --std c99 -fPIC -flto -mavx2 -pthread -pipe -c a.c "
        "-Wa,--noexecstack,-adhln=a.lst,--MD,a.d -Wa,-al -Xassembler -mrelax-relocations=no -Xassembler -an".split()
    )
    assert command.recompile_flags() == tuple(
        "-O2 -g -std=gnu89 -ansi --std c99 -fPIC -flto -mavx2 -pthread -Wa,--noexecstack "
        "-Xassembler -mrelax-relocations=no -w".split()
    )


@pytest.mark.parametrize(
    "line",
    ["", "-v", "--version", "-E a.c", "-S a.c", "-M a.c", "-MM a.c", "-c -", "-### a.c", "conftest.c",
     "-c sub/conftest.c", "-o conftest a.o", "-c a.c -o", "-dumpversion", "-print-multi-os-directory"],
)  # fmt: skip
def test_commands_for_the_real_compiler(line: str) -> None:
    assert args.parse(line.split()).elsewhere


@pytest.mark.parametrize("line", ["-c a.c", "-v a.c", "-MD -c a.c", "a.o", "-dumpdir x a.c", "-c -x c a"])
def test_commands_for_us(line: str) -> None:
    assert not args.parse(line.split()).elsewhere


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a  b\n c", ["a", "b", "c"]),
        ("'a b' \"c d\"", ["a b", "c d"]),
        (r"a\ b \"c", ["a b", '"c']),
        ("-DX='\"s\"'", ['-DX="s"']),
        ("''", [""]),
        ("", []),
    ],
)
def test_response_file_words(text: str, words: list[str]) -> None:
    assert args.split(text) == words
    assert args.split(args.quote(words)) == words


def test_objects_of_sources() -> None:
    command = args.parse(["-c", "dir/a.b.c"])
    assert command.object_of(command.inputs[0]) == "a.b.o"
