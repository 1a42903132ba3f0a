"""The command line itself: dispatch, errors in one place, --json on failure, inspect."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.described import container
from upstare import cli
from upstare.commands import inspect
from upstare.errors import DeadlineMissed, UpstareError
from upstare.model.description import (
    Description,
    Function,
    Loop,
    OpaqueCall,
    Point,
    UnitInfo,
)
from upstare.release import ABI

ROOT = Path(__file__).parents[2]


def describe() -> Description:
    description = Description(1, ABI, "d" * 64, "server", "1.0", "trap", "default", [])
    description.units = [UnitInfo("server.c", "server.c", [], ["cc"], "0" * 64)]
    points = [
        Point(1, "call", "accept", True, "server.c", 12, ["while(1)"], "fd = accept(s, 0, 0)", ["s"], "fd"),
        Point(2, "loop", None, False, "server.c", 11, [], "while (1)", ["s"]),
    ]
    serve = Function("0" * 16, "server.c", "serve", "server.c", 10, False, "void (int)", "void", "", True)
    serve.points = points
    compare = Function("1" * 16, "server.c", "compare", "server.c", 3, True, "int ()", "int", "", False)
    compare.pinned = "server.c:4: uses a nested function"
    description.functions = [serve, compare]
    description.bounded_loops = [Loop("0" * 16, "server.c", 20, "counts")]
    description.opaque_calls = [OpaqueCall("0" * 16, "getaddrinfo", "server.c", line) for line in (14, 15)]
    description.refusals = ["server.c:4: uses a nested function"]
    return description


@pytest.fixture
def program(tmp_path: Path) -> Path:
    (tmp_path / "p.c").write_text("int upstare_flag;\nint main(void) { return 0; }\n")
    (tmp_path / "desc").write_bytes(container(describe(), [b"text"]))
    subprocess.run(["cc", "-rdynamic", "p.c", "-o", "p"], cwd=tmp_path, check=True)
    subprocess.run(["objcopy", "--add-section", ".upstare.desc=desc", "p"], cwd=tmp_path, check=True)
    return tmp_path / "p"


def test_inspect(program: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["inspect", str(program), "--functions", "--points"]) == 0
    out = capsys.readouterr().out
    assert "version    1.0\n" in out
    assert "2 in 1 units; 1 can be rebuilt, 1 pinned" in out
    assert "2 (1 call, 1 loop)" in out
    for text in ("getaddrinfo", "server.c:14 in serve", "server.c:20", "counts", "uses a nested function", "accept"):
        assert text in out


def test_inspect_json(program: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["inspect", str(program), "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert data["counts"]["points"] == 2
    assert data["blocking_calls"] == [{"callee": "accept", "function": "serve", "file": "server.c", "line": 12}]
    assert data["bounded_delay"] == [{"function": "serve", "file": "server.c", "line": 20, "why": "counts"}]


def test_inspect_stripped(program: Path, capsys: pytest.CaptureFixture[str]) -> None:
    subprocess.run(["objcopy", "--remove-section", ".upstare.desc", program], check=True)
    assert cli.main(["inspect", str(program), "--json"]) == 3
    out, err = capsys.readouterr()
    assert json.loads(out)["outcome"] == "refused"
    assert err.startswith(f"upstare: error: {program} was built with upstare cc but stripped")


def test_plain_strip_keeps_the_description(program: Path) -> None:
    subprocess.run(["strip", program], check=True)
    assert inspect.load(program).program == "server"


def test_inspect_not_updateable(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["inspect", "/bin/true"]) == 3
    out, err = capsys.readouterr()
    assert out == ""
    assert err == (
        "upstare: error: /bin/true was not built with upstare cc\n"
        'hint: build it with CC="upstare cc" to make it updateable\n'
    )


def test_inspect_no_executable(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for content in (b"", b"#!/bin/sh\n", b"\x7fELF", b"\x7fELF\x02\x01" + b"\x7f" * 100):
        (tmp_path / "x").write_bytes(content)
        assert cli.main(["inspect", str(tmp_path / "x")]) == 1
        assert capsys.readouterr().err.startswith(f"upstare: error: {tmp_path / 'x'} is ")
    assert cli.main(["inspect", str(tmp_path / "none")]) == 1
    assert capsys.readouterr().err == f"upstare: error: cannot read {tmp_path}/none: No such file or directory\n"


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["--bogus"],
        ["frobnicate"],
        ["apply"],
        ["apply", "x.upatch"],
        ["apply", "x.upatch", "--pid", "-5"],
        ["apply", "x.upatch", "--pid", "one"],
        ["apply", "x.upatch", "--pid", "1", "--timeout", "nan"],
        ["status", "--what"],
    ],
)
def test_usage(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("upstare: error: ")
    assert "--help" in err


def test_usage_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["apply", "--json"]) == 2
    data = json.loads(capsys.readouterr().out)
    assert data["outcome"] == "error"
    assert "required" in data["reason"]


@pytest.mark.parametrize("arguments", [["--help"], ["apply", "--help"], ["--version"]])
def test_help(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        cli.main(arguments)
    assert end.value.code == 0
    assert "upstare" in capsys.readouterr().out


def test_cc_gets_its_arguments_untouched(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[list[str]] = []

    def run(arguments: list[str]) -> int:
        seen.append(arguments)
        return 7

    monkeypatch.setattr("upstare.commands.cc.run", run)
    assert cli.main(["cc", "--help", "--json", "-c", "a b.c"]) == 7
    assert seen == [["--help", "--json", "-c", "a b.c"]]


def test_cc_errors_are_not_json(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def run(arguments: list[str]) -> int:
        raise UpstareError("the linker is gone", hint="look for it")

    monkeypatch.setattr("upstare.commands.cc.run", run)
    assert cli.main(["cc", "--json"]) == 1
    assert capsys.readouterr() == ("", "upstare: error: the linker is gone\nhint: look for it\n")


def test_exit_code_of_the_error(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def run(args: object) -> int:
        raise DeadlineMissed("thread 8 is in getaddrinfo")

    monkeypatch.setattr("upstare.commands.status.run", run)
    assert cli.main(["status", "--json"]) == 5
    assert json.loads(capsys.readouterr().out)["outcome"] == "timed_out"


def test_reader_goes_away(program: Path) -> None:
    popen = subprocess.Popen(
        [sys.executable, "-m", "upstare.cli", "inspect", str(program), "--points"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert popen.stdout is not None
    popen.stdout.close()
    assert popen.stderr is not None
    with popen.stderr:
        assert popen.stderr.read() == b""
    popen.wait()


def test_cc_starts_without_heavy_modules() -> None:
    code = (
        "import sys\nfrom upstare import cli\nfrom upstare.commands import cc\ncc.run = lambda a: 0\n"
        "cli.main(['cc', '-v'])\nprint(*sorted({'argparse', 'rich', 'json', 'psutil', 'clang'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-S", "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
