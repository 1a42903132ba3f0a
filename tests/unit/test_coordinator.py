"""The coordinator against a stand-in for the runtime: contact, every outcome, everything that can go wrong."""

from __future__ import annotations

import json
import os
import select
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support import tool
from tests.support.described import container
from upstare.cli import main
from upstare.coordinator import process as processes
from upstare.coordinator.symbols import Call, call_at
from upstare.model.description import Description
from upstare.patch.file import write_patch
from upstare.release import ABI

OLD, NEW, OTHER = "a" * 64, "b" * 64, "c" * 64
FAKE = Path(__file__).with_name("fake_agent.py")
PATIENCE = 10.0

Run = Callable[..., tuple[int, dict[str, Any], str]]


class Target:
    """A fake process under test and the lines that it printed."""

    def __init__(self, program: Path, script: dict[str, Any]) -> None:
        environment = {**os.environ, "PYTHONHOME": sys.base_prefix}
        self.popen = subprocess.Popen(
            [program, "-S", FAKE, json.dumps(script)], stdout=subprocess.PIPE, bufsize=0, env=environment
        )
        self.pid = self.popen.pid
        self.expect("ready")

    def expect(self, prefix: str) -> list[str]:
        """The lines up to the first that begins so."""
        assert self.popen.stdout is not None
        lines: list[str] = []
        while not (lines and lines[-1].startswith(prefix)):
            assert select.select([self.popen.stdout], [], [], PATIENCE)[0], f"no {prefix!r} after {lines}"
            line = self.popen.stdout.readline().decode().rstrip("\n")
            assert line, f"no {prefix!r} after {lines}"
            lines.append(line)
        return lines

    def lives(self) -> bool:
        return self.popen.poll() is None

    def end(self) -> None:
        """It is gone."""
        self.popen.kill()
        self.popen.wait()
        assert self.popen.stdout is not None
        self.popen.stdout.close()


@pytest.fixture(scope="session")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Python interpreter that carries a version description."""
    folder = tmp_path_factory.mktemp("program")
    copy = folder / "server"
    shutil.copy(os.path.realpath(getattr(sys, "_base_executable", sys.executable)), copy)
    description = Description(1, ABI, OLD, "server", "1.0", "trap", "default", [])
    (folder / "desc").write_bytes(container(description))
    subprocess.run(["objcopy", "--add-section", f".upstare.desc={folder}/desc", copy], check=True)
    return copy


@pytest.fixture
def start(program: Path) -> Iterator[Callable[..., Target]]:
    targets: list[Target] = []

    def begin(**script: Any) -> Target:
        targets.append(Target(program, script))
        return targets[-1]

    yield begin
    for target in targets:
        target.end()


@pytest.fixture
def patch(tmp_path: Path) -> Path:
    return make_patch(tmp_path / "1.1.upatch")


def make_patch(path: Path, **header: Any) -> Path:
    whole = {"from_build": OLD, "to_build": NEW, "program": "server", "from_version": "1.0", "to_version": "1.1"}
    write_patch(path, {**whole, "abi": ABI, "scheme": "trap", "report": {}, **header}, b"new image")
    return path


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """Run a command with --json: exit code, the object, standard error."""

    def call(*arguments: object) -> tuple[int, dict[str, Any], str]:
        code = main([*map(str, arguments), "--json"])
        out, err = capsys.readouterr()
        assert len(out.splitlines()) == 1
        return code, json.loads(out), err

    return call


def test_update(start: Callable[..., Target], patch: Path, run: Run) -> None:
    target = start()
    code, outcome, errors = run("apply", patch, "--pid", target.pid)
    assert (code, errors) == (0, "")
    assert outcome["outcome"] == "updated"
    assert outcome["processes"][0]["pid"] == target.pid
    assert [outcome["processes"][0][key] for key in ("threads", "frames", "moved_objects")] == [3, 7, 1]
    times = ("load_us", "stop_us", "transform_us", "resume_us", "pause_us")
    assert [outcome[key] for key in times] == [120, 30, 4, 6, 44]
    assert target.expect("BYE") == ["LOAD new image seals=15", "STOP 5000000", "COMMIT", "BYE"]


def test_update_report(start: Callable[..., Target], patch: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target = start()
    assert main(["apply", str(patch), "--pid", str(target.pid)]) == 0
    assert capsys.readouterr().out == (
        f"process {target.pid} (server): 1.0 -> 1.1, 3 threads, 7 frames, 1 moved object\n"
        "load 120 µs  stop 30 µs  transform 4 µs  resume 6 µs  pause 44 µs\n"
    )


def test_agent_started_late(start: Callable[..., Target], patch: Path, run: Run) -> None:
    assert run("apply", patch, "--pid", start(slow=5).pid)[0] == 0


def test_impostor_is_not_heard(start: Callable[..., Target], patch: Path, run: Run) -> None:
    target = start(impostor=True)
    assert run("apply", patch, "--pid", target.pid)[0] == 0
    assert target.expect("impostor") == ["impostor was dropped"]


def test_several_processes(start: Callable[..., Target], patch: Path, run: Run) -> None:
    targets = [start(), start()]
    code, outcome, _ = run("apply", patch, "--pid", targets[0].pid, "--pid", targets[1].pid)
    assert code == 0
    assert [each["outcome"] for each in outcome["processes"]] == ["updated", "updated"]


def test_several_processes_one_refuses(start: Callable[..., Target], patch: Path, run: Run) -> None:
    targets = [start(), start(STOP={"ok": False, "kind": "refused", "reason": "serve() at a.c:7 has no counterpart"})]
    code, outcome, _ = run("apply", patch, "--pid", targets[0].pid, "--pid", targets[1].pid)
    assert (code, outcome["outcome"]) == (3, "refused")
    assert "serve() at a.c:7" in outcome["reason"]
    assert [each["outcome"] for each in outcome["processes"]] == ["untouched", "untouched"]
    for target in targets:
        assert target.expect("BYE")[-2:] == ["ABORT", "BYE"]


@pytest.mark.parametrize("how", ["die", "die later"])
def test_several_processes_one_dies_in_the_commit(
    start: Callable[..., Target], patch: Path, run: Run, how: str
) -> None:
    targets = [start(), start(COMMIT=how), start()]
    pids = [word for target in targets for word in ("--pid", str(target.pid))]
    code, outcome, _ = run("apply", patch, *pids)
    assert (code, outcome["outcome"]) == (0, "updated")
    assert [each["outcome"] for each in outcome["processes"]] == ["updated", "ended", "updated"]


def test_the_last_to_decide_is_too_late(start: Callable[..., Target], patch: Path, run: Run) -> None:
    no = {"ok": False, "kind": "refused", "reason": "the coordinator was too late"}
    targets = [start(too_late=True, COMMIT=no), start()]
    code, outcome, _ = run("apply", patch, "--pid", targets[0].pid, "--pid", targets[1].pid)
    assert (code, outcome["outcome"]) == (3, "refused")
    assert no["reason"] in outcome["reason"]
    assert [each["outcome"] for each in outcome["processes"]] == ["untouched", "untouched"]


def test_messages_in_flight(start: Callable[..., Target], patch: Path, run: Run) -> None:
    """Who can tell is asked when all have stopped, and again a moment later, until the deadline."""
    no = {"ok": False, "kind": "in_flight", "reason": "messages of type job are still on their way"}
    targets = [start(LOAD={"checks": 1}, CHECK=no), start()]
    code, outcome, errors = run("apply", patch, "--pid", targets[0].pid, "--pid", targets[1].pid, "--timeout", "0.3")
    assert (code, outcome["outcome"]) == (3, "refused")
    assert outcome["reason"] == f"process {targets[0].pid} (server): {no['reason']}"
    assert "try again when less is on its way, or with a longer --timeout" in errors
    asked, other = (target.expect("BYE") for target in targets)
    tries = asked.count("CHECK")
    assert tries > 2
    assert [line.split()[0] for line in asked] == ["LOAD", "STOP", "CHECK", "ABORT"] * tries + ["BYE"]
    assert [line.split()[0] for line in other] == ["LOAD", "STOP", "ABORT"] * tries + ["BYE"]


def test_nothing_in_flight(start: Callable[..., Target], patch: Path, run: Run) -> None:
    target = start(LOAD={"checks": 1})
    assert run("apply", patch, "--pid", target.pid)[0] == 0
    assert [line.split()[0] for line in target.expect("BYE")] == ["LOAD", "STOP", "CHECK", "COMMIT", "BYE"]


def test_not_now(start: Callable[..., Target], patch: Path, run: Run) -> None:
    """Who says so when it has stopped is asked again a moment later, with all the others."""
    no = {"ok": False, "kind": "not_now", "reason": "the constant steps is not the same in version 2"}
    targets = [start(STOP=no), start()]
    code, outcome, errors = run("apply", patch, "--pid", targets[0].pid, "--pid", targets[1].pid, "--timeout", "0.3")
    assert (code, outcome["outcome"]) == (3, "refused")
    assert outcome["reason"] == f"process {targets[0].pid} (server): {no['reason']}"
    assert "try again, or with a longer --timeout" in errors
    for target in targets:
        asked = [line.split()[0] for line in target.expect("BYE")]
        assert asked.count("STOP") > 2
        assert asked == ["LOAD", "STOP", "ABORT"] * asked.count("STOP") + ["BYE"]


@pytest.mark.parametrize("how", ["die", "hang", "hang up"])
def test_one_does_not_tell(start: Callable[..., Target], patch: Path, run: Run, how: str) -> None:
    targets = [start(LOAD={"checks": 1}, CHECK=how), start(LOAD={"checks": 1})]
    code, outcome, _ = run("apply", patch, "--pid", targets[0].pid, "--pid", targets[1].pid, "--timeout", "0.3")
    assert (code, outcome["outcome"]) == {"hang": (5, "timed_out")}.get(how, (1, "error"))
    assert [each["outcome"] for each in outcome["processes"]] == ["ended" if how == "die" else "untouched", "untouched"]
    assert targets[1].expect("BYE")[-2:] == ["ABORT", "BYE"]


def test_process_that_is_stopped_while_it_loads(start: Callable[..., Target], patch: Path, run: Run) -> None:
    begun = time.monotonic()
    target = start(LOAD="stop")
    code, outcome, _ = run("apply", patch, "--pid", target.pid, "--timeout", "0.3")
    assert (code, outcome["outcome"]) == (5, "timed_out")
    assert "is stopped by SIGSTOP" in outcome["reason"]
    assert time.monotonic() - begun < 10  # far from the patience for a load that goes on


def test_agent_of_another_release(start: Callable[..., Target], patch: Path, run: Run) -> None:
    code, outcome, _ = run("apply", patch, "--pid", start(hello={"hello": 1}).pid)
    assert (code, outcome["outcome"]) == (3, "refused")
    assert "speaks another protocol (1, not 5)" in outcome["reason"]


def test_tree(program: Path, start: Callable[..., Target], patch: Path, run: Run) -> None:
    parent = start(fork=2)
    children = parent.expect("children")[-1].split()[1:]
    code, outcome, _ = run("apply", patch, "--pid", parent.pid, "--tree")
    assert code == 0
    assert [each["pid"] for each in outcome["processes"]] == [parent.pid, *map(int, children)]


def test_all_of_a_name(start: Callable[..., Target], patch: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    targets = [start(fork=2), start()]
    children = [int(child) for child in targets[0].expect("children")[-1].split()[1:]]
    mine = {targets[0].pid, targets[1].pid, *children}
    everybody = list(processes.updateable())
    assert mine <= set(everybody)  # and what other tests have started: not to be touched
    monkeypatch.setattr(processes, "updateable", lambda: iter(sorted(mine)))
    code, outcome, _ = run("apply", patch, "--name", "server")
    assert code == 0
    assert {each["pid"] for each in outcome["processes"]} == mine
    code, outcome, _ = run("apply", patch, "--name", "servers")
    assert (code, outcome["outcome"]) == (1, "error")
    assert "no updateable process runs servers" in outcome["reason"]
    code, outcome, _ = run("apply", patch)
    assert code == 2


@pytest.mark.parametrize("when", ["LOAD", "STOP", "COMMIT"])
def test_tree_child_ends(start: Callable[..., Target], patch: Path, run: Run, when: str) -> None:
    parent = start(fork=2, child={when: "die"})
    parent.expect("children")
    code, outcome, _ = run("apply", patch, "--pid", parent.pid, "--tree")
    assert (code, outcome["outcome"]) == (0, "updated")
    assert outcome["processes"][0]["outcome"] == "updated"
    assert {each["outcome"] for each in outcome["processes"][1:]} <= {"ended"}


@pytest.mark.parametrize("when", ["hello", "LOAD", "STOP"])
@pytest.mark.parametrize("what", ["execute", "execute again"])
def test_tree_child_executes(start: Callable[..., Target], patch: Path, run: Run, when: str, what: str) -> None:
    """A child that executes another program is left alone, one that executes ours is taken in anew."""
    parent = start(fork=2, child={when: what})
    children = parent.expect("children")[-1].split()[1:]
    began = time.monotonic()
    code, outcome, _ = run("apply", patch, "--pid", parent.pid, "--tree", "--timeout", 60)
    assert (code, outcome["outcome"]) == (0, "updated"), outcome
    assert time.monotonic() - began < 30, "an answer was waited for that could not come"
    taken = [parent.pid, *map(int, children)] if what == "execute again" else [parent.pid]
    assert {each["pid"]: each["outcome"] for each in outcome["processes"]} == dict.fromkeys(taken, "updated")
    assert all(Path(f"/proc/{child}").exists() for child in children)


def test_process_executes(start: Callable[..., Target], patch: Path, run: Run) -> None:
    """The one that was named: that is no longer the one that was meant."""
    target = start(STOP="execute again")
    code, outcome, _ = run("apply", patch, "--pid", target.pid)
    assert (code, outcome["outcome"]) == (1, "error")
    assert outcome["reason"] == f"process {target.pid} (server) has executed a program during the update"


REFUSALS = {
    "stop": ("STOP", {"ok": False, "kind": "refused", "reason": "main() at s.c:9 has no counterpart"}, 3, "refused"),
    "deadline": ("STOP", {"ok": False, "kind": "timed_out", "reason": "thread 8 is in getaddrinfo"}, 5, "timed_out"),
    "load": ("LOAD", {"ok": False, "kind": "error", "reason": "undefined symbol: x"}, 1, "error"),
    "transformer": ("COMMIT", {"ok": False, "kind": "refused", "reason": "table is full"}, 3, "refused"),
}


@pytest.mark.parametrize(("request_name", "reply", "code", "name"), REFUSALS.values(), ids=list(REFUSALS))
def test_the_process_says_no(
    start: Callable[..., Target], patch: Path, run: Run, request_name: str, reply: dict[str, Any], code: int, name: str
) -> None:
    target = start(**{request_name: reply})
    result, outcome, errors = run("apply", patch, "--pid", target.pid)
    assert (result, outcome["outcome"]) == (code, name)
    assert reply["reason"] in outcome["reason"]
    assert errors.startswith(f"upstare: error: process {target.pid} (server): {reply['reason']}\n")
    assert target.lives()


CALLS = """
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <unwind.h>
extern char __executable_start, etext;
static _Unwind_Reason_Code step(struct _Unwind_Context *c, void *n) {
  /* The second frame of this program from inside: compare, (libc), main. */
  unsigned long ip = _Unwind_GetIP(c);
  if (ip >= (unsigned long)&__executable_start && ip < (unsigned long)&etext && ++*(int *)n == 2)
    printf("%lx\\n", ip), fflush(stdout);
  return _URC_NO_REASON;
}
static int compare(const void *a, const void *b) {
  int n = 0;
  _Unwind_Backtrace(step, &n);
  pause();
  return a < b;
}
int main(void) {
  int data[2] = {2, 1};
  qsort(data, 2, sizeof *data, compare);
  return data[0];
}
"""

BREAKS = {
    "die": "ended during the update",
    "cut": "ended during the update",
    "hang up": "hung up during the update",
    "nonsense": "sends nonsense",
    "huge": "sends nonsense",
}


@pytest.mark.parametrize("how", BREAKS)
@pytest.mark.parametrize("when", ["LOAD", "STOP", "COMMIT"])
def test_contact_breaks(start: Callable[..., Target], patch: Path, run: Run, when: str, how: str) -> None:
    target = start(**{when: how})
    code, outcome, _ = run("apply", patch, "--pid", target.pid)
    assert (code, outcome["outcome"]) == (1, "error")
    assert BREAKS[how] in outcome["reason"]
    dead = how in ("die", "cut")
    expected = "ended" if dead else "unknown" if when == "COMMIT" else "untouched"
    assert outcome["processes"][0]["outcome"] == expected


@pytest.mark.parametrize("how", BREAKS)
def test_contact_breaks_at_the_greeting(start: Callable[..., Target], patch: Path, run: Run, how: str) -> None:
    code, outcome, _ = run("apply", patch, "--pid", start(hello=how).pid)
    assert (code, outcome["outcome"]) == (1, "error")
    assert BREAKS[how] in outcome["reason"]


def test_no_answer_to_stop(
    start: Callable[..., Target], patch: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("upstare.coordinator.apply.STOP_GRACE", 0.1)
    monkeypatch.setattr("upstare.coordinator.protocol.ABORT_PATIENCE", 0.1)
    target = start(STOP="hang")
    code, outcome, _ = run("apply", patch, "--pid", target.pid, "--timeout", "0.2")
    assert (code, outcome["outcome"]) == (5, "timed_out")
    assert "the old version runs on" in outcome["hint"]
    assert target.expect("ABORT")


def test_no_thread_can_start_the_agent(start: Callable[..., Target], patch: Path, run: Run) -> None:
    code, outcome, _ = run("apply", patch, "--pid", start(deaf=True).pid, "--timeout", "0.3")
    assert (code, outcome["outcome"]) == (5, "timed_out")
    assert "inside library calls" in outcome["reason"]


def test_thread_says_where_it_is(start: Callable[..., Target], patch: Path, run: Run) -> None:
    target = start(deaf=True, not_now=True)
    code, outcome, _ = run("apply", patch, "--pid", target.pid, "--timeout", "0.3")
    assert (code, outcome["outcome"]) == (5, "timed_out")
    assert f"thread {target.pid} is in a library call" in outcome["reason"]


def test_call_on_a_stack(tmp_path: Path) -> None:
    (tmp_path / "p.c").write_text(CALLS)
    for flags in (["-O0"], ["-O2", "-fcf-protection"], ["-O2", "-fno-plt"], ["-O2", "-no-pie", "-s"]):
        subprocess.run(["cc", *flags, tmp_path / "p.c", "-o", tmp_path / "p"], check=True)
        popen = subprocess.Popen([tmp_path / "p"], stdout=subprocess.PIPE, text=True)
        assert popen.stdout is not None
        address = int(popen.stdout.readline(), 16)
        process = processes.Process(popen.pid, os.pidfd_open(popen.pid))
        call = call_at(process, address)
        assert call_at(process, 0) == call_at(process, address + (1 << 40)) == Call(None, None, None)
        popen.kill()
        popen.communicate()
        process.close()
        assert call == Call(None if "-s" in flags else "main", "qsort", None), flags


def test_process_without_a_handler_is_not_signalled(start: Callable[..., Target], patch: Path, run: Run) -> None:
    target = start(ready=False)
    code, outcome, _ = run("apply", patch, "--pid", target.pid, "--timeout", "0.2")
    assert (code, outcome["outcome"]) == (3, "refused")
    assert "has no handler for signal 63" in outcome["reason"]
    assert target.lives()


def test_stopped_process(start: Callable[..., Target], patch: Path, run: Run) -> None:
    target = start()
    os.kill(target.pid, signal.SIGSTOP)
    code, outcome, _ = run("apply", patch, "--pid", target.pid, "--timeout", "0.2")
    assert (code, outcome["outcome"]) == (5, "timed_out")
    assert "stopped by SIGSTOP" in outcome["reason"]


def test_patch_for_another_build(start: Callable[..., Target], tmp_path: Path, run: Run) -> None:
    target = start()
    patch = make_patch(tmp_path / "p", from_build=OTHER, from_version="0.9")
    code, outcome, _ = run("apply", patch, "--pid", target.pid)
    assert (code, outcome["outcome"]) == (3, "refused")
    assert "server 0.9 [build cccccccccccc]" in outcome["reason"]
    assert "server 1.0 [build aaaaaaaaaaaa]" in outcome["reason"]
    assert target.expect("BYE") == ["BYE"]


def test_already_updated(start: Callable[..., Target], patch: Path, run: Run) -> None:
    code, outcome, _ = run("apply", patch, "--pid", start(hello={"build": NEW, "version": "1.1"}).pid)
    assert (code, outcome["outcome"]) == (4, "unchanged")
    assert "already runs server 1.1" in outcome["reason"]


def test_damaged_patch(start: Callable[..., Target], patch: Path, run: Run) -> None:
    target = start()
    whole = patch.read_bytes()
    for content in (whole[:-1], whole[:20], whole[:-1] + b"!", b"", b"hello"):
        patch.write_bytes(content)
        code, outcome, _ = run("apply", patch, "--pid", target.pid)
        assert (code, outcome["outcome"]) == (1, "error")
        assert str(patch) in outcome["reason"]
    assert target.lives()


def test_no_such_process(patch: Path, run: Run) -> None:
    code, outcome, _ = run("apply", patch, "--pid", 2**22)
    assert (code, outcome["reason"]) == (1, f"there is no process {2**22}")


def test_thread_instead_of_process(patch: Path, run: Run) -> None:
    done = threading.Event()
    thread = threading.Thread(target=done.wait)
    thread.start()
    code, outcome, _ = run("apply", patch, "--pid", thread.native_id)
    done.set()
    thread.join()
    assert code == 1
    assert f"a thread of process {os.getpid()}" in outcome["reason"]


def test_zombie(patch: Path, run: Run) -> None:
    popen = subprocess.Popen(["true"])
    os.waitid(os.P_PID, popen.pid, os.WEXITED | os.WNOWAIT)
    code, outcome, _ = run("apply", patch, "--pid", popen.pid)
    popen.wait()
    assert code == 1
    assert "zombie" in outcome["reason"]


def test_not_updateable(patch: Path, run: Run) -> None:
    code, outcome, _ = run("apply", patch, "--pid", os.getpid())
    assert (code, outcome["outcome"]) == (3, "refused")
    assert "was not built with upstare cc" in outcome["reason"]


def test_stripped_of_its_description(tmp_path: Path, patch: Path, run: Run) -> None:
    runtime = '__attribute__((section("upstare_rt"))) void runs(void) {}'
    (tmp_path / "p.c").write_text(f"#include <unistd.h>\n{runtime}\nint main(void) {{ pause(); }}\n")
    subprocess.run(["cc", tmp_path / "p.c", "-o", tmp_path / "p"], check=True)
    popen = subprocess.Popen([tmp_path / "p"])
    try:
        code, outcome, _ = run("apply", patch, "--pid", popen.pid)
    finally:
        popen.kill()
        popen.wait()
    assert (code, outcome["outcome"]) == (3, "refused")
    assert "stripped of its version description" in outcome["reason"]


def test_executable_deleted_on_disk(program: Path, tmp_path: Path, patch: Path, run: Run) -> None:
    copy = tmp_path / "server"
    shutil.copy(program, copy)
    target = Target(copy, {})
    copy.unlink()
    try:
        assert run("apply", patch, "--pid", target.pid)[0] == 0
    finally:
        target.popen.kill()
        target.popen.communicate()


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become another user")
def test_another_users_process(start: Callable[..., Target], patch: Path) -> None:
    done = tool.upstare_as(65534, "apply", patch, "--pid", start().pid)
    assert done.exit_code == 3
    assert "belongs to root; only its owner and root may update it" in done.err
    assert "Traceback" not in done.err


def test_two_updates_at_once(start: Callable[..., Target], patch: Path, run: Run) -> None:
    target = start()
    process = processes.attach(target.pid)
    lock = processes.lock(process)
    code, outcome, _ = run("apply", patch, "--pid", target.pid)
    assert (code, outcome["outcome"]) == (3, "refused")
    assert "another update" in outcome["reason"]
    os.close(lock)
    process.close()
    assert run("apply", patch, "--pid", target.pid)[0] == 0


def test_agent_is_busy(start: Callable[..., Target], patch: Path, run: Run) -> None:
    target = start(hello={"ok": False, "kind": "refused", "reason": "another update is going on"})
    code, outcome, _ = run("apply", patch, "--pid", target.pid)
    assert (code, outcome["outcome"]) == (3, "refused")
    assert "another update is going on" in outcome["reason"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_before_the_commit(start: Callable[..., Target], patch: Path, number: signal.Signals) -> None:
    target = start(STOP="hang")
    command = [sys.executable, "-m", "upstare.cli", "apply", str(patch), "--pid", str(target.pid), "--json"]
    root = Path(__file__).parents[2]
    popen = subprocess.Popen(command, cwd=root, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    target.expect("STOP")
    popen.send_signal(number)
    out, err = popen.communicate(timeout=PATIENCE)
    if number == signal.SIGINT:
        assert popen.returncode == 1
        assert json.loads(out)["reason"] == "interrupted; the old version runs on"
        assert target.expect("ABORT")
    else:  # we just die: the agent sees the connection break
        assert target.expect("EOF")
    assert "Traceback" not in err


def test_status(start: Callable[..., Target], run: Run) -> None:
    history = [{"time": 1e9, "from": OLD, "to": NEW, "from_version": "1.0", "to_version": "1.1", "outcome": "updated"}]
    target = start(hello={"version": "1.1", "build": NEW, "history": history})
    code, result, _ = run("status", "--pid", target.pid)
    assert code == 0
    (found,) = result["processes"]
    assert (found["pid"], found["program"], found["version"], found["threads"]) == (target.pid, "server", "1.1", 3)
    assert found["history"] == history


def test_status_shows_stacks(start: Callable[..., Target], run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    threads = [{"tid": 7, "frames": [{"function": "serve", "point": 2, "line": 40, "phase": "in call"}]}]
    target = start(STATUS={"threads_detail": threads, "frames": 1, "old_frames": 0})
    _, result, _ = run("status", "--pid", target.pid)
    assert result["processes"][0]["threads_detail"][0]["frames"][0]["version"] == "1.0"
    assert main(["status", "--pid", str(target.pid)]) == 0
    assert "thread 7\n    serve:40 1.0\n" in capsys.readouterr().out


def test_status_of_all(start: Callable[..., Target], run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    good, deaf = start(), start(deaf=True)
    code, result, _ = run("status", "--timeout", "0.3")
    assert code == 0
    found = {each["pid"]: each for each in result["processes"]}
    assert found[good.pid]["reason"] is None
    assert (found[deaf.pid]["version"], "library calls" in found[deaf.pid]["reason"]) == ("1.0", True)
    assert main(["status", "--timeout", "0.3"]) == 0
    assert str(good.pid) in capsys.readouterr().out


def test_status_of_all_with_another_release(
    program: Path, start: Callable[..., Target], run: Run, tmp_path: Path
) -> None:
    """A description that cannot be read says nothing of the process, and hides no other."""
    other = tmp_path / "server"
    (tmp_path / "desc").write_bytes(b"UPSD9999")
    subprocess.run(["objcopy", "--update-section", f".upstare.desc={tmp_path}/desc", program, other], check=True)
    good, newer = start(), Target(other, {"deaf": True})
    try:
        code, result, _ = run("status", "--timeout", "0.3")
        found = {each["pid"]: each for each in result["processes"]}
        assert (code, found[good.pid]["version"], found[newer.pid]["version"]) == (0, "1.0", "?")
    finally:
        newer.end()


def test_rollback(start: Callable[..., Target], run: Run) -> None:
    history = [{"from": OLD, "to": NEW, "from_version": "1.0", "to_version": "1.1", "outcome": "updated"}]
    target = start(hello={"version": "1.1", "build": NEW, "history": history})
    code, outcome, _ = run("rollback", "--pid", target.pid)
    assert (code, outcome["outcome"]) == (0, "updated")
    assert (outcome["from_version"], outcome["to_version"]) == ("1.1", "1.0")
    assert target.expect("BYE") == ["ROLLBACK_PREPARE", "STOP 5000000", "COMMIT", "BYE"]


def test_rollback_of_nothing(start: Callable[..., Target], run: Run) -> None:
    code, outcome, _ = run("rollback", "--pid", start().pid)
    assert (code, outcome["outcome"]) == (4, "unchanged")
    assert "never updated" in outcome["reason"]


def test_the_lock_ends_with_its_holder(start: Callable[..., Target]) -> None:
    target = start()
    process = processes.attach(target.pid)
    holder = os.fork()
    if holder == 0:
        processes.lock(process)
        os._exit(0)
    os.waitpid(holder, 0)
    begin = time.monotonic()
    os.close(processes.lock(process))
    process.close()
    assert time.monotonic() - begin < 0.4
