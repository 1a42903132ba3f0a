"""Programs of several objects: opaque ones that call them, and plug-ins."""

from __future__ import annotations

import shutil
from pathlib import Path

from tests.support import tool
from tests.support.build import C_FLAGS, run_build
from tests.support.process import Program, running
from tests.support.tool import UPSTARE

HERE = Path(__file__).parent


def place(case: str, version: str, folder: Path) -> Path:
    """A copy of the sources of a case, for one version of it."""
    there = folder / version
    shutil.copytree(HERE / case, there)
    return there


def cc(there: Path, *arguments: str, **env: str) -> None:
    """``upstare cc`` in the folder of a version; the sources know the new one by a macro."""
    macro = ["-DNEW"] if there.name == "new" else []
    run_build([*UPSTARE, "cc", *C_FLAGS, *macro, *arguments], there, UPSTARE_VERSION=there.name, **env)


def poke(program: Program, send: str, *expected: str) -> None:
    """Sends a line and waits for these, in this order, and no other before them."""
    before = len(program.lines)
    program.send(f"{send}\n")
    for pattern in expected:
        program.expect(pattern, before)
    assert len(program.lines) == before + len(expected), program.log()


def test_plugins_call_the_current_version(tmp_path: Path) -> None:
    """By name and through a pointer, from a plug-in opened before the update and from one opened after it."""
    built = []
    for version in ("old", "new"):
        there = place("plugins", version, tmp_path)
        cc(there, "-rdynamic", "main.c", "-o", "program")
        built.append(there / "program")
    plugins = [str(tmp_path / name) for name in ("one.so", "two.so", "three.so")]
    for plugin in plugins:
        cc(tmp_path / "old", "-fPIC", "-shared", "plugin.c", "-o", plugin)
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
