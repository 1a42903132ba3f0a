"""What was decided on a program last is used again for exactly the same program."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.support.described import frames
from transforms.decisions import Decisions
from upstare import decide, kept
from upstare.build import build_image
from upstare.driver import embed, process
from upstare.driver.cache import Cache
from upstare.driver.compiler import Compiler
from upstare.kept import Kept
from upstare.model.guess import guess
from upstare.model.outline import Described, FunctionOutline, Outline, outline
from upstare.model.unit import Options, Unit
from upstare.units import Compilation, UnitWork
from upstare.workers import Beside

SERVE = b"""# 1 "serve.c"
long read(int, void *, unsigned long);
int depth;
int helper(int fd);
static const char names[] = "ab";
const char *which = names;
int serve(int fd) { char c; while (read(fd, &c, 1) == 1) depth += helper(fd) + names[c & 1]; return depth; }
int main(void) { return serve(0); }
"""
HELPER = b'# 1 "helper.c"\nstruct { int x; } odd;\nint helper(int fd) { return fd + odd.x; }\n'


def unit(name: str, text: bytes) -> Unit:
    return embed.make_unit(name, ("-O2", "-w"), ["cc"], text)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UPSTARE_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def build(tmp_path: Path) -> Callable[..., bytes]:
    """Build an image; its description and the contents of its objects."""

    def call(units: list[Unit], name: str = "program", outside: Collection[str] = ()) -> bytes:
        work = tmp_path / f"work{len(list(tmp_path.iterdir()))}"
        work.mkdir()
        image = build_image(units, Options(clones=False, outside=frozenset(outside)), work, name, "1.0")
        described = image.described
        assert described.outline == outline(described.description(), frames(described.description()))
        return described.body + b"".join(path.read_bytes() for path in [*image.objects.values(), *image.extra_objects])

    return call


def nobody(*_: object) -> None:
    raise AssertionError("it is decided again")


def test_a_build_of_the_same(build: Callable[..., bytes], monkeypatch: pytest.MonkeyPatch) -> None:
    units = [unit("serve.c", SERVE), unit("helper.c", HELPER)]
    first = build(units)
    other = build(units, "another")
    monkeypatch.setattr(decide, "decide", nobody)
    assert build(units) == first
    assert build(units, "another") == other != first
    with pytest.raises(AssertionError, match="decided again"):
        build([units[0], unit("helper.c", HELPER.replace(b"+", b"-"))])


MAIN = SERVE.index(b"int main")
CHANGES: dict[str, tuple[bytes, list[bool]]] = {
    # The text, and of each compilation that is begun whether what was decided is guessed.
    "the inside of a function": (SERVE.replace(b"+=", b"-="), [True]),
    "lines": (b"\n\n" + SERVE.replace(b"; return", b";\n return"), [True]),
    "a function more": (SERVE.replace(b"+=", b"-=") + b"int more(void) { return depth; }\n", [True]),
    "a function that nobody else sees": (SERVE + b"static int more(int n) { return n; }\n", [True]),
    "a function with a point": (SERVE + b"int more(void) { return serve(0); }\n", [False]),
    "a function that waits": (SERVE + b"int more(void) { for (;;) if (depth) return 0; }\n", [False]),
    "a call": (SERVE.replace(b"return serve(0)", b"return serve(helper(0))"), [False]),
    "no call": (SERVE.replace(b"serve(0)", b"0"), [False]),
    "a variable": (SERVE.replace(b"int depth;", b"int depth, more;"), [False]),
    "another type": (SERVE.replace(b"int depth;", b"long depth;"), [False]),
    "a constant": (SERVE.replace(b'"ab"', b'"ba"'), [False]),
    "a function less": (SERVE[:MAIN] + b"int main(void) { return depth; }\n", [False]),
    "another order": (b"int serve(int);\n" + SERVE[MAIN:] + SERVE[:MAIN], [True, False]),
}


def compilations(patch: pytest.MonkeyPatch) -> list[bool]:
    """Of each compilation that is begun from now on: whether what was decided on its unit is guessed."""
    guesses: list[Decisions | None] = []
    begun: list[bool] = []
    begin = Compilation.__init__

    def guessed(*arguments: Any) -> Decisions | None:
        guesses.append(guess(*arguments))
        return guesses[-1]

    def counted(self: Compilation, work: UnitWork, number: int, decisions: Decisions) -> None:
        begun.append(decisions in guesses)
        begin(self, work, number, decisions)

    patch.setattr(decide, "guess", guessed)
    patch.setattr(Compilation, "__init__", counted)
    return begun


@pytest.mark.parametrize("visible", [False, True], ids=["", "rdynamic"])
@pytest.mark.parametrize("change", CHANGES)
def test_what_was_prepared(
    change: str, visible: bool, build: Callable[..., bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text, expected = CHANGES[change]
    outside = {"serve", "main", "helper", "depth", "which", "odd"} if visible else set()
    before = [unit("serve.c", SERVE), unit("helper.c", HELPER)]
    build(before, outside=outside)
    now = [unit("serve.c", text), before[1]]
    without_text = [replace(each, text=b"") for each in before]
    options = Options(clones=False, outside=frozenset(outside))
    with monkeypatch.context() as patch:
        begun = compilations(patch)
        decide.prepare_units(without_text, options, [{}, {}], {0: now[0]})
    assert begun == expected
    if visible and change != "a function that nobody else sees" and b"more" in text:
        outside.add("more")
    with monkeypatch.context() as patch:
        patch.setattr(decide, "decide", nobody)
        warm = build(now, outside=outside)
    monkeypatch.setenv("UPSTARE_CACHE", str(tmp_path / "cold"))
    assert build(now, outside=outside) == warm


def test_a_unit_of_two_programs(build: Callable[..., bytes], monkeypatch: pytest.MonkeyPatch) -> None:
    waits = b"long read(int, void *, unsigned long);\nint helper(int fd) { char c; return (int)read(fd, &c, 1); }\n"
    serve = unit("serve.c", SERVE)
    programs = [[serve, unit("helper.c", HELPER)], [serve, unit("waits.c", waits)]]
    for units in programs:
        build(units)
    begun = compilations(monkeypatch)
    for number, units in enumerate(programs):
        changed = unit("serve.c", SERVE.replace(b"+=", b"-=") + b"\n" * number)
        decide.prepare_units(units, Options(clones=False), [{}, {}], {0: changed})
    assert begun == [True, True]


@pytest.mark.parametrize("alone", [True, False])
def test_what_is_decided_on_everything_is_waited_for_where_it_may_count(
    alone: bool, build: Callable[..., bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = [unit("serve.c", SERVE), unit("helper.c", HELPER)]
    build(before)
    ended: list[Beside[None]] = []
    monkeypatch.setattr(Beside, "end", lambda self: ended.append(self))
    changed = unit("serve.c", SERVE.replace(b"+=", b"-="))
    decide.prepare_units(before, Options(clones=False), [{}, {}], {0: changed}, lambda: alone)
    assert len(ended) == (0 if alone else 1)
    for beside in ended:
        beside.result()
    assert Kept(Cache(), [changed, before[1]], Options(clones=False)).keys() is not None


def test_a_guess_that_is_wrong_leaves_no_compiler_behind(
    build: Callable[..., bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = [unit("serve.c", SERVE), unit("helper.c", HELPER)]
    build(before)
    children: list[process.Child] = []
    start = process.start

    def noted(words: Sequence[str], **how: Any) -> process.Child:
        children.append(start(words, **how))
        return children[-1]

    monkeypatch.setattr(process, "start", noted)
    monkeypatch.setattr(decide, "_decide_some", nobody)
    changed = unit("serve.c", SERVE.replace(b"+=", b"-="))
    with pytest.raises(AssertionError, match="decided again"):
        decide.prepare_units(before, Options(clones=False), [{}, {}], {0: changed})
    assert len(children) == 1
    with pytest.raises(ChildProcessError):
        os.waitpid(children[0].pid, 0)


def test_every_ingredient_counts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    units, options = [unit("a.c", b"int a;"), unit("b.c", b"int b;")], Options(outside=frozenset({"a"}))
    known = Outline("trap", "digest", [], [])

    def found(these: list[Unit] = units, those: Options = options) -> tuple[str, list[str]] | None:
        return Kept(Cache(), these, those).keys()

    Kept(Cache(), units, options).keep(["1", "2"], Described(known, b"body"))
    assert found() == ("digest", ["1", "2"])
    assert found([units[0], unit("b.c", b"int c;")]) is None
    assert found([units[0], replace(units[1], path="/elsewhere/b.c")]) is None
    assert found(units[:1]) is None
    for other in (Options(), replace(options, twin=True), replace(options, shared=True)):
        assert found(those=other) is None
    with monkeypatch.context() as patch:
        patch.setattr(kept, "release_digest", lambda: "another")
        assert found() is None
    with monkeypatch.context() as patch:
        patch.setattr(kept, "ask", lambda words: Compiler(False, True, identity="another version"))
        assert found() is None
    (tmp_path / "runtime").mkdir()
    (tmp_path / "runtime/redirects.toml").write_text("blocking = []")
    monkeypatch.setattr(kept, "include_directory", lambda: tmp_path / "runtime/include")
    assert found() is None


def test_the_next_takes_the_place_of_the_last() -> None:
    one, two = [unit("a.c", b"int a;")], [unit("a.c", b"int b;")]
    known = Outline("trap", "digest", [], [FunctionOutline(1, "f", "int ()", "int", 16, False, ((1, None),))])
    for units in (one, two):
        Kept(Cache(), units, Options()).keep(["key"], Described(known, units[0].text))
    last = Kept(Cache(), two, Options())
    assert last.keys() is not None
    assert last.described() == (known, b"int b;")
    assert Kept(Cache(), one, Options()).keys() is None
    assert len([path for path in Path(Cache().directory).rglob("*") if path.is_file()]) == 1
