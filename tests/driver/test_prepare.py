"""Units that are compiled again are prepared for the next link: what it makes is what it makes of nothing."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import pytest

from tests.driver.place import Place
from upstare import units
from upstare.driver import embed, prepare
from upstare.driver.cache import Cache
from upstare.driver.compiler import Compiler, ask
from upstare.errors import UpstareError
from upstare.model.outline import Outline, UnitOutline
from upstare.model.unit import Options, Unit
from upstare.units import UnitWork

pytestmark = pytest.mark.skipif((os.cpu_count() or 1) < 2, reason="nothing is prepared with one processor")

UPSTARE_CC = [sys.executable, "-m", "upstare", "cc"]
SERVE = """#include <unistd.h>
int depth;
int helper(int fd);
int serve(int fd) { char c; while (read(fd, &c, 1) == 1) depth += helper(fd); return depth; }
"""
HELPER = "int helper(int fd) { return fd + 1; }\n"
BLOCKS = "#include <unistd.h>\nint helper(int fd) { char c; return read(fd, &c, 1) == 1; }\n"
MAIN = "int serve(int fd);\nint main(void) { return serve(0); }\n"


class Build:
    """A program of three units, built with the real transform by a compiler that writes down its commands."""

    def __init__(self, place: Place, own_parts: Path, *flags: str) -> None:
        self.place = place
        self.flags = flags
        self.own_parts = own_parts
        shutil.copytree(own_parts, place / "cache")
        self.log = place / "log"
        place.write("bin/cc", f'#!/bin/sh\necho "$@" >>{self.log}\nexec {shutil.which("cc")} "$@"\n').chmod(0o755)
        place.env |= {"PATH": f"{place / 'bin'}:{place.env['PATH']}", "TMPDIR": str(place / "tmp")}
        (place / "tmp").mkdir()
        for name, text in (("serve.c", SERVE), ("helper.c", HELPER), ("main.c", MAIN)):
            place.write(name, text)

    def run(self, *words: str) -> list[str]:
        """Run ``upstare cc``, which must succeed; the commands that compiled a unit the second time."""
        self.log.write_text("")
        done = self.place.run([*UPSTARE_CC, *words])
        assert (done.returncode, done.stderr) == (0, "")
        assert list((self.place / "tmp").iterdir()) == []
        return [line for line in self.log.read_text().splitlines() if "-x cpp-output" in line]

    def compile(self, *names: str) -> list[str]:
        """Compile these sources."""
        return [line for name in names for line in self.run("-O2", *self.flags, "-c", name)]

    def link(self) -> list[str]:
        """Link the program."""
        return self.run(*self.flags, "serve.o", "helper.o", "main.o", "-o", "program")

    def cold(self) -> bytes:
        """The program as it comes out of the sources that are there now, without anything that was made before."""
        kept = self.place.env["UPSTARE_CACHE"]
        shutil.copytree(self.own_parts, self.place / "cold")
        self.place.env["UPSTARE_CACHE"] = str(self.place / "cold")
        self.compile("serve.c", "helper.c", "main.c")
        self.link()
        shutil.rmtree(self.place / "cold")
        self.place.env["UPSTARE_CACHE"] = kept
        return (self.place / "program").read_bytes()


@pytest.fixture(scope="module")
def own_parts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache with UpStare's own parts, made with the same compiler."""
    place = Place(tmp_path_factory.mktemp("own") / "p")
    place.write("other.c", "int main(void) { return 0; }\n")
    assert place.run([*UPSTARE_CC, "other.c"]).returncode == 0
    return place / "cache"


@pytest.fixture(params=[[], ["-rdynamic"]], ids=" ".join)
def build(place: Place, own_parts: Path, request: pytest.FixtureRequest) -> Build:
    """The program has been linked."""
    built = Build(place, own_parts, *request.param)
    assert built.compile("serve.c", "helper.c", "main.c") == [], "nothing is known yet"
    assert len(built.link()) == 3
    return built


def test_a_changed_unit_is_ready_for_the_link(build: Build) -> None:
    build.place.write("serve.c", SERVE.replace("depth +=", "depth -=") + "int another(void) { return depth; }\n")
    assert len(build.compile("serve.c")) == 1
    assert build.link() == []
    warm = (build.place / "program").read_bytes()
    assert warm == build.cold()
    assert b"another" in warm


def test_an_unchanged_unit_is_not_prepared(build: Build) -> None:
    assert build.compile("serve.c") == []
    assert build.link() == []


def test_a_wrong_guess_is_not_used(build: Build) -> None:
    build.place.write("serve.c", SERVE.replace("depth +=", "depth -="))
    build.place.write("helper.c", BLOCKS)
    assert len(build.compile("serve.c")) == 1, "as if its call of helper() could not block"
    helper = build.compile("helper.c")  # prepared, too, if there are processors enough
    assert len(build.link()) == 2 - len(helper), "that it can is known now"
    assert (build.place / "program").read_bytes() == build.cold()


def test_several_units_in_one_command(build: Build) -> None:
    build.place.write("serve.c", SERVE.replace("depth +=", "depth -="))
    build.place.write("helper.c", BLOCKS)
    assert len(build.run("-O2", *build.flags, "-c", "serve.c", "helper.c")) == 2
    assert build.link() == []
    assert (build.place / "program").read_bytes() == build.cold()


def test_functions_that_turn_out_to_be_pinned(place: Place, own_parts: Path) -> None:
    build = Build(place, own_parts)
    place.write("helper.c", BLOCKS + "int odd(int n) { return _Generic(n, int: helper(n)); }\n")
    place.write("serve.c", SERVE + "int odd(int n);\nint more(int n) { return odd(n) + helper(n); }\n")
    build.compile("serve.c", "helper.c", "main.c")
    build.link()
    described = place.run([sys.executable, "-m", "upstare", "inspect", "program", "--json"])
    assert "a call that can be interrupted stands inside _Generic" in described.stdout
    place.write("serve.c", (place / "serve.c").read_text().replace("depth +=", "depth -="))
    assert len(build.compile("serve.c")) == 1
    assert build.link() == []
    assert (place / "program").read_bytes() == build.cold()


def test_what_does_not_compile_is_not_prepared(build: Build) -> None:
    build.place.write("serve.c", SERVE + "int broken(void) { return nothing; }\n")
    build.log.write_text("")
    ours, theirs = (build.place.run([*words, "-c", "serve.c"]) for words in (UPSTARE_CC, ["cc"]))
    assert (ours.returncode, ours.stdout, ours.stderr) == (theirs.returncode, theirs.stdout, theirs.stderr)
    assert "-x cpp-output" not in build.log.read_text()
    assert list((build.place / "tmp").iterdir()) == []


def test_a_failed_compilation_does_not_wait_for_the_preparation(build: Build) -> None:
    build.place.write("serve.c", SERVE + "static int unused;\n")
    script = f"""#!/bin/sh
case "$*" in
    *cpp-output*) touch {build.place / "begun"}; sleep 1000 & wait ;;
    *-Werror*-c*) until [ -e {build.place / "begun"} ]; do sleep 0.01; done ;;
esac
exec {shutil.which("cc")} "$@"
"""
    build.place.write("bin/cc", script).chmod(0o755)
    done = build.place.run([*UPSTARE_CC, "-O2", *build.flags, "-Wall", "-Werror", "-c", "serve.c"])
    assert done.returncode == 1
    assert "unused" in done.stderr
    assert list((build.place / "tmp").iterdir()) == []


def test_where_much_changes_the_link_does_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UPSTARE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(prepare, "_work", lambda *_: os._exit(0))
    monkeypatch.setattr(os, "cpu_count", lambda: 7)
    linked = [Unit(f"/{i}.c", b"", ("-O2",), ("cc",), "old") for i in range(5)]
    outline = Outline("trap", "", [UnitOutline(f"{i}.c", u.digest, {}) for i, u in enumerate(linked)], [])

    def started() -> int:
        beside = [prepare.Preparation([u.path], u.flags, u.compiler) for u in linked]
        for unit, one in zip(linked, beside, strict=True):
            one.start([(unit.path, b"text", "new")])
        count = sum(one._pid is not None for one in beside)
        for one in beside:
            one.wait()
        return count

    for _ in range(2):
        prepare.remember(linked, Options(), outline, tmp_path / "program")
        assert [started(), started()] == [3, 0]


def test_a_link_that_cannot_be_noted_is_a_link(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UPSTARE_CACHE", "/dev/null/x")
    outline = Outline("trap", "", [UnitOutline("a.c", "", {})], [])
    prepare.remember([unit(b"int x;")], Options(), outline, tmp_path / "program")
    with pytest.raises(UpstareError):
        Cache()


def test_a_preparation_that_fails_says_nothing(build: Build) -> None:
    for file in (build.place / "cache").rglob("*"):
        if file.is_file() and file.read_bytes()[:1] == b"\x80":  # summaries and facts
            file.unlink()
    build.place.write("serve.c", SERVE.replace("depth +=", "depth -="))
    assert build.compile("serve.c") == []
    assert len(build.link()) == 1
    assert (build.place / "program").read_bytes() == build.cold()


def unit(text: bytes) -> Unit:
    return Unit("/a.c", text, ("-O2",), ("cc",), embed.unit_digest(("-O2",), ("cc",), text))


def test_every_ingredient_is_in_the_key_of_an_object(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UPSTARE_CACHE", str(tmp_path / "cache"))

    def keys(work: UnitWork, decisions: str = "{}") -> set[str]:
        return {work._object_key(what, 0, decisions) for what in ("object", "references")}

    one = keys(UnitWork([unit(b"int x;")], tmp_path))
    assert keys(UnitWork([unit(b"int x;")], tmp_path)) == one
    assert not keys(UnitWork([unit(b"int y;")], tmp_path)) & one
    assert not keys(UnitWork([unit(b"int x;")], tmp_path), '{"a": 1}') & one
    with monkeypatch.context() as patch:
        patch.setattr(units, "ask", lambda words: Compiler(False, True, identity="another version"))
        assert not keys(UnitWork([unit(b"int x;")], tmp_path)) & one
    monkeypatch.setattr(units, "release_digest", lambda: "0" * 64)
    assert not keys(UnitWork([unit(b"int x;")], tmp_path)) & one


def test_a_unit_without_its_text_is_not_summarised(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UPSTARE_CACHE", str(tmp_path / "cache"))
    work = UnitWork([Unit("/a.c", b"", ("-O2",), ("cc",), unit(b"int x;").digest)], tmp_path)
    with pytest.raises(UpstareError, match="the text of /a.c is not here"):
        work.summary(0)
    assert list(Path(Cache().directory).rglob("*")) == []


def test_the_version_of_the_compiler_is_in_its_identity(place: Place) -> None:
    other = place.write("other-cc", '#!/bin/sh\ncc "$@" | sed "/__VERSION__/s/[0-9]/9/g"\n')
    other.chmod(0o755)
    assert ask([str(other)]).identity != ask(["cc"]).identity
    assert ask([str(other)]).x86_64 == ask(["cc"]).x86_64
