"""Programs of several objects: libraries that are versioned with them, others that are opaque, plug-ins."""

from __future__ import annotations

import re
import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.support import tool
from tests.support.build import C_FLAGS, run_build
from tests.support.process import Program, running, storms
from tests.support.tool import UPSTARE

HERE = Path(__file__).parent
VERSIONED = {"UPSTARE_LIBRARIES": "versioned"}


def place(case: str, version: str, folder: Path) -> Path:
    """A copy of the sources of a case, for one version of it."""
    there = folder / version
    shutil.copytree(HERE / case, there)
    return there


def cc(there: Path, *arguments: str, **env: str) -> None:
    """``upstare cc`` in the folder of a version; the sources know the new one by a macro."""
    macro = ["-DNEW"] if there.name == "new" else []
    run_build([*UPSTARE, "cc", *C_FLAGS, *macro, *arguments], there, UPSTARE_VERSION=there.name, **env)


def build_counter(folder: Path, versions: Sequence[str] = ("old", "new"), **env: str) -> list[Path]:
    """The program with the library that never returns, in these versions."""
    built = []
    for version in versions:
        there = place("libraries", version, folder)
        cc(there, "-fPIC", "-shared", "counter.c", "-o", "libcounter.so", **env)
        cc(there, "main.c", "-L.", "-lcounter", "-Wl,-rpath,$ORIGIN", "-o", "program", **env)
        built.append(there / "program")
    return built


def poke(program: Program, send: str, *expected: str) -> None:
    """Sends a line and waits for these, in this order, and no other before them."""
    before = len(program.lines)
    program.send(f"{send}\n")
    for pattern in expected:
        program.expect(pattern, before)
    assert len(program.lines) == before + len(expected), program.log()


@pytest.mark.parametrize("mode", [{}, {"UPSTARE_SCHEME": "flag"}, {"UPSTARE_CC": "clang"}], ids=str)
def test_versioned_library_on_the_stack(tmp_path: Path, mode: dict[str, str]) -> None:
    """Only the library changes, its code and the type of its state, while a function of it that never returns runs."""
    if "UPSTARE_CC" in mode and shutil.which("clang") is None:
        pytest.skip("clang is not installed")
    old, new = build_counter(tmp_path, **mode, **VERSIONED)
    made = tool.expect(tool.patch(old, new, tmp_path / "x.upatch"))
    assert made["changed"] == ["counter.c:show"]
    assert [m["name"] for m in made["moved_variables"]] == ["tally"]
    for version in (old, new):
        (version.parent / "libcounter.so").unlink()  # what is versioned is in the program
    with running([old]) as program:
        poke(program, "", "^old library: round 1 sum 2 lost 0$")
        tool.expect(tool.apply(tmp_path / "x.upatch", program.pid), outcome="updated")
        poke(program, "", "^new library: round 2 sum 6g lost 0$")
        tool.expect(tool.rollback(program.pid))
        poke(program, "", "^old library: round 3 sum 12 lost 0$")
        program.close_input()
        assert program.wait() == 0


@pytest.mark.parametrize("mode", [{}, {"UPSTARE_POINTS": "strict"}, {"UPSTARE_SCHEME": "flag"}], ids=str)
def test_versioned_libraries_under_the_storm(tmp_path: Path, mode: dict[str, str]) -> None:
    """Two libraries, one of which needs the other, do what they do plainly."""
    there = place("library-storm", "old", tmp_path)

    def build(name: str, compiler: Sequence[str], **env: str) -> Path:
        for library in ("log", "tree"):
            needs = ["-L.", "-llog"] if library == "tree" else []
            command = [*compiler, *C_FLAGS, "-fPIC", "-shared", f"{library}.c", *needs, "-o", f"lib{library}.so"]
            run_build(command, there)
        command = [*compiler, *C_FLAGS, "main.c", "-L.", "-ltree", "-llog", "-Wl,-rpath,$ORIGIN", "-o", name]
        run_build(command, there, **env)
        return there / name

    with running([build("plain", ["cc"])]) as program:
        assert program.wait() == 0
        expected = program.log()
    assert len(expected.splitlines()) > 50
    versioned = build("versioned", [*UPSTARE, "cc"], **mode, **VERSIONED)
    for library in there.glob("*.so"):
        library.unlink()
    for storm in ("0", "1", "7"):
        log = tmp_path / f"storm{storm}"
        with running([versioned], env={"UPSTARE_STORM": storm, "UPSTARE_STORM_LOG": str(log)}) as program:
            assert program.wait() == 0
            assert program.log() == expected
        assert storm == "0" or storms(log) > 30


def test_opaque_library_that_differs(tmp_path: Path) -> None:
    """A patch leaves it alone and says so, and so it does where nothing else has changed."""
    old, new = build_counter(tmp_path)
    said = "libcounter.so: the library is opaque and differs: a running process keeps the one that it has loaded"
    assert said in tool.expect(tool.patch(old, new, tmp_path / "x.upatch"), 4)["reason"]
    main = new.parent / "main.c"
    main.write_text(main.read_text().replace("2 * round", "3 * round"))
    cc(new.parent, "main.c", "-L.", "-lcounter", "-o", "program")
    made = tool.expect(tool.patch(old, new, tmp_path / "x.upatch"))
    assert [f"{w['subject']}: {w['text']}" for w in made["warnings"]] == [said]
    cc(new.parent, "main.c", f"-L{old.parent}", "-lcounter", "-o", "program")
    assert tool.expect(tool.patch(old, new, tmp_path / "x.upatch"))["warnings"] == []


def test_opaque_becomes_versioned(tmp_path: Path) -> None:
    """There would be two of the library's state: a mixture that no patch can mend."""
    [old] = build_counter(tmp_path, ["old"])
    [new] = build_counter(tmp_path, ["new"], **VERSIONED)
    for one, other, how in ((old, new, "opaque.*versioned"), (new, old, "versioned.*opaque")):
        refused = tool.expect(tool.patch(one, other, tmp_path / "x.upatch"), 3)
        assert re.search(f"libcounter.so is {how}.*: there would be two of its state", refused["reason"])


def test_plugins_call_the_current_version(tmp_path: Path) -> None:
    """By name and through a pointer, from a plug-in opened before the update and from one opened after it."""
    built = []
    for version in ("old", "new"):
        there = place("plugins", version, tmp_path)
        cc(there, "-rdynamic", "main.c", "-Wl,-rpath,$ORIGIN/plugins", "-o", "program")
        built.append(there / "program")
    plugins = ["one.so", "two.so", "three.so"]
    (tmp_path / "old" / "plugins").mkdir()
    for plugin in plugins:
        cc(tmp_path / "old", "-fPIC", "-shared", "plugin.c", "-o", f"plugins/{plugin}")
    tool.expect(tool.patch(*built, tmp_path / "x.upatch"))

    def said(version: str) -> list[str]:
        called = f"^name {version}, pointer {version}, helper the plug-in's, same$"
        return [called, f"^found {version}, helper {version}'s own$"]

    with running([built[0]]) as program:
        poke(program, plugins[0], *said("old"))
        tool.expect(tool.apply(tmp_path / "x.upatch", program.pid), outcome="updated")
        poke(program, plugins[0], *said("new"))
        poke(program, plugins[1], *said("new"))
        tool.expect(tool.rollback(program.pid))
        for plugin in plugins:
            poke(program, plugin, *said("old"))


def test_versioned_plugin(tmp_path: Path) -> None:
    """A program that is linked with its plug-in has it versioned: what opens it finds it in the program."""
    built = []
    for version in ("old", "new"):
        there = place("versioned-plugin", version, tmp_path)
        (there / "plugins").mkdir()
        cc(there, "-fPIC", "-shared", "plugin.c", "-o", "plugins/plugin.so")
        cc(there, "main.c", "-Wl,--no-as-needed", "plugins/plugin.so", "-o", "program", **VERSIONED)
        built.append(there / "program")
    tool.expect(tool.patch(*built, tmp_path / "x.upatch"))
    for cwd in (tmp_path, tmp_path / "old"):  # where the file is not, and where it is
        with running([built[0]], cwd=cwd) as program:
            poke(program, "", "^old line 1, opened 1 times$")
            tool.expect(tool.apply(tmp_path / "x.upatch", program.pid), outcome="updated")
            poke(program, "", "^new line 2, opened 1 times$")
            program.close_input()
            assert program.wait() == 0
            assert program.lines[-1] == "served 2, closed 0"


@pytest.mark.parametrize("pie", ["-fPIE -pie", "-fno-pie -no-pie"])
def test_plugin_that_needs_a_versioned_library(tmp_path: Path, pie: str) -> None:
    """It loads the file of the library, too, but what it uses is the program's."""
    built = []
    for version in ("old", "new"):
        there = place("shared-library", version, tmp_path)
        where = ["-L.", "-lcount", "-Wl,-rpath,$ORIGIN"]
        cc(there, "-fPIC", "-shared", "count.c", "-o", "libcount.so")
        cc(there, "-fPIC", "-shared", "plugin.c", *where, "-o", "plugin.so")
        cc(there, *pie.split(), "main.c", *where, "-o", "program", **VERSIONED)
        built.append(there / "program")
    tool.expect(tool.patch(*built, tmp_path / "x.upatch"))
    with running([built[0]]) as program:
        poke(program, "", "^program: old counted 1$", "^plug-in: old counted 2$")
        assert "libcount.so" in Path(f"/proc/{program.pid}/maps").read_text()
        tool.expect(tool.apply(tmp_path / "x.upatch", program.pid), outcome="updated")
        poke(program, "", "^program: new counted 3$", "^plug-in: new counted 4$")


def test_opaque_objects_call_the_current_version(tmp_path: Path) -> None:
    """One that is named, and a member of an archive beside one that has a unit."""
    built = []
    for version in ("old", "new"):
        there = place("opaque-object", version, tmp_path)
        for name in ("from_object", "from_archive"):
            run_build(["cc", f"-DNAME={name}", "-c", "object.c", "-o", f"{name}.o"], there)
        run_build(["ar", "crs", "libmember.a", "from_archive.o"], there)
        cc(there, "main.c", "from_object.o", "-L.", "-lmember", "-o", "program")
        built.append(there / "program")
    tool.expect(tool.patch(*built, tmp_path / "x.upatch"))
    with running([built[0]]) as program:
        poke(program, "", "^old old old$")
        tool.expect(tool.apply(tmp_path / "x.upatch", program.pid), outcome="updated")
        poke(program, "", "^new new new$")
        tool.expect(tool.rollback(program.pid))
        poke(program, "", "^old old old$")


def test_inspect_shows_the_choice(tmp_path: Path) -> None:
    [program] = build_counter(tmp_path, ["old"], **VERSIONED)
    run_build([*UPSTARE, "cc", *C_FLAGS, "main.c", "-L.", "-lcounter", "-lm", "-o", "opaque"], program.parent)
    libraries = {
        name: {x["name"]: (x["treatment"], x["units"]) for x in tool.upstare("inspect", file).data["libraries"]}
        for name, file in (("versioned", program), ("opaque", program.parent / "opaque"))
    }
    assert libraries["versioned"] == {"libcounter.so": ("versioned", 1), "libc.so.6": ("opaque", 0)}
    assert libraries["opaque"]["libcounter.so"] == ("opaque", 1)
    said = tool.upstare("inspect", program, as_json=False).out
    assert re.search(r"libcounter.so +versioned +1 unit\n", said) and re.search(r"libc.so.6 +opaque +no\n", said)
    library = program.parent / "libcounter.so"
    assert tool.upstare("inspect", library).data == {
        "library": "libcounter.so", "units": [str(program.parent / "counter.c")], "obstacle": None
    }  # fmt: skip
    assert "opaque; versioned with a program" in tool.upstare("inspect", library, as_json=False).out


def test_inspect_shows_who_opens_plugins(tmp_path: Path) -> None:
    there = place("plugins", "old", tmp_path)
    cc(there, "main.c", "-o", "program")
    said = tool.upstare("inspect", there / "program", as_json=False).out
    assert re.search(r"Plug-ins \(opaque if not.*^dlopen +1 +main.c:26 in main", said, re.DOTALL | re.MULTILINE)
    run_build(["cc", "-c", "-fPIC", "plugin.c"], there)
    (there / "more.c").write_text("int more(void) { return 1; }\n")
    cc(there, "-fPIC", "-shared", "plugin.o", "more.c", "-o", "libplugin.so")
    assert tool.upstare("inspect", there / "libplugin.so").data["obstacle"].endswith("(plugin.o)")
