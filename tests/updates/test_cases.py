"""Update cases: start the old version, see it work, update, see the new version work and never the old one again.

A case is a folder beside this file with ``old.c``, ``new.c`` and ``case.toml`` (and ``mapping.toml``,
``transformers.c`` if the patch needs them). ``compilers = true``: it runs with clang and between compilers, too. Its
tables, each optional:

``[start]``     ``expect``: lines (regular expressions, in this order) before the update.
``[patch]``     ``exit``: exit code of ``upstare patch`` if it is not 0; ``reason``: what it says (each of a list).
``[update]``    ``outcome`` and ``exit`` if it is not to succeed, ``reason``, ``timeout`` in seconds.
``[rollback]``  the same for ``upstare rollback``; then the update is applied again and checked as before.
``[finish]``    ``status``: exit status; ``log``: the whole output, as one regular expression.

Each may ``send`` text to the program's input first (start) or right after the step, then ``expect`` lines and, from the
end of the step on, ``never`` a line. ``finish`` closes the input after what it sends.
"""

from __future__ import annotations

import os
import re
import shutil
import tomllib
from pathlib import Path
from typing import Any

import pytest

from tests.support import tool
from tests.support.build import C_FLAGS, build_file
from tests.support.process import Program, running

HERE = Path(__file__).parent
CASES = sorted(path.parent.name for path in HERE.glob("*/case.toml"))
CLANG = {"UPSTARE_CC": "clang"}
#: How the old and the new version are built.
MODES: dict[str, tuple[dict[str, str], dict[str, str]]] = {
    "default": ({}, {}),
    "strict": ({"UPSTARE_POINTS": "strict"}, {"UPSTARE_POINTS": "strict"}),
    "flag": ({"UPSTARE_SCHEME": "flag"}, {"UPSTARE_SCHEME": "flag"}),
    "clang": (CLANG, CLANG),
    "gcc-to-clang": ({"UPSTARE_SCHEME": "flag"}, CLANG),
    "clang-to-gcc": ({**CLANG, "UPSTARE_SCHEME": "trap"}, {}),
}
WITH_CLANG = [mode for mode, builds in MODES.items() if any("UPSTARE_CC" in build for build in builds)]
CHOSEN = os.environ.get("UPSTARE_TEST_MODES", ",".join(MODES)).split(",")


def runs() -> list[tuple[str, str]]:
    """Each case in each mode; only those that ask for it with clang."""
    cases = {name: tomllib.loads((HERE / name / "case.toml").read_text()) for name in CASES}
    return [(n, m) for m in CHOSEN for n in CASES if m not in WITH_CLANG or cases[n].get("compilers")]


def as_list(value: str | list[str] | None) -> list[str]:
    """One or several of something in a case file."""
    return [value] if isinstance(value, str) else value or []


def check_reason(step: dict[str, Any], result: tool.Result) -> None:
    """The command said what the case wants to hear."""
    said = " ".join([str(result.data.get("reason") or ""), result.out, result.err])
    for reason in as_list(step.get("reason")):
        assert re.search(reason, said), f"nothing like {reason!r} in: {result}"


def do_step(step: dict[str, Any], result: tool.Result, program: Program, before: int) -> None:
    """Checks what became of an update or a rollback that began when ``before`` lines had been printed."""
    tool.expect(result, step.get("exit", 0), step.get("outcome", "updated"))
    check_reason(step, result)
    program.drain()
    after = len(program.lines)
    follow(step, program, before)
    for pattern in as_list(step.get("never")):
        late = [line for line in program.lines[after:] if re.search(pattern, line)]
        assert not late, f"printed after the step: {late[:3]}\n{program.log()}"


def follow(step: dict[str, Any], program: Program, start: int) -> None:
    """Sends what the step sends and waits for what it expects."""
    if "send" in step:
        program.send(step["send"])
    for pattern in as_list(step.get("expect")):
        start = program.expect(pattern, start)


def finish(step: dict[str, Any], program: Program) -> None:
    """Lets the program end by itself and looks at what it leaves."""
    before = len(program.lines)
    follow({"send": step.get("send", "")}, program, before)
    program.close_input()
    status = program.wait()
    assert status == step.get("status", 0), f"exit status {status}:\n{program.log()}"
    follow({"expect": step.get("expect")}, program, before)
    if "log" in step:
        assert re.fullmatch(step["log"], program.log(), re.DOTALL), program.log()


@pytest.mark.parametrize(("name", "mode"), runs())
def test_case(name: str, mode: str, tmp_path: Path) -> None:
    if mode in WITH_CLANG and shutil.which("clang") is None:
        pytest.skip("clang is not installed")
    folder = HERE / name
    case = tomllib.loads((folder / "case.toml").read_text())
    flags = [*C_FLAGS, *case.get("flags", [])]
    old = build_file(folder / "old.c", tmp_path / "old" / "program", flags, MODES[mode][0])
    new = build_file(folder / "new.c", tmp_path / "new" / "program", flags, MODES[mode][1])
    patch = tmp_path / "case.upatch"
    more = [
        part
        for option, file in (("--mapping", "mapping.toml"), ("--transformers", "transformers.c"))
        if (folder / file).exists()
        for part in (option, folder / file)
    ]
    made = tool.patch(old, new, patch, *more)
    tool.expect(made, case.get("patch", {}).get("exit", 0))
    check_reason(case.get("patch", {}), made)
    if made.exit_code:
        assert not patch.exists()
        return

    with running([old]) as program:
        follow(case.get("start", {}), program, 0)
        update = case.get("update", {})

        def do_update() -> None:
            before = len(program.lines)
            do_step(update, tool.apply(patch, program.pid, update.get("timeout", 10)), program, before)

        do_update()
        if "rollback" in case:
            before = len(program.lines)
            do_step(case["rollback"], tool.rollback(program.pid), program, before)
            if "outcome" not in case["rollback"]:
                do_update()
        if "finish" in case:
            finish(case["finish"], program)
        else:
            assert program.poll() is None, program.log()


def test_cases_are_found() -> None:
    assert len(CASES) > 15
