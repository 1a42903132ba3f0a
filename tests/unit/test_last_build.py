"""What was decided on a program last is used again for exactly the same program."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tests.support.described import frames
from upstare import decide, kept
from upstare.build import build_image
from upstare.driver import embed
from upstare.driver.cache import Cache
from upstare.driver.compiler import Compiler
from upstare.kept import Kept
from upstare.model.outline import Described, FunctionOutline, Outline, outline
from upstare.model.unit import Options, Unit
from upstare.workers import Beside

SERVE = b"""# 1 "serve.c"
long read(int, void *, unsigned long);
int depth;
int helper(int fd);
static const char names[] = "ab";
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

    def call(units: list[Unit], name: str = "program") -> bytes:
        work = tmp_path / f"work{len(list(tmp_path.iterdir()))}"
        work.mkdir()
        image = build_image(units, Options(clones=False), work, name, "1.0")
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


def test_what_was_prepared(
    build: Callable[..., bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Beside, "end", Beside.result)  # the compiler has ended long before
    before = [unit("serve.c", SERVE), unit("helper.c", HELPER)]
    build(before)
    now = [unit("serve.c", SERVE.replace(b"+=", b"-=") + b"int more(void) { return depth; }\n"), before[1]]
    without_text = [replace(each, text=b"") for each in before]
    decide.prepare_units(without_text, Options(clones=False), [{}, {}], {0: now[0]})
    with monkeypatch.context() as patch:
        patch.setattr(decide, "decide", nobody)
        warm = build(now)
    monkeypatch.setenv("UPSTARE_CACHE", str(tmp_path / "cold"))
    assert build(now) == warm


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
