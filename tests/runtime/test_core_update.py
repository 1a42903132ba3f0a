"""A hand-written program is updated and rolled back while it runs; every kind of refusal leaves it as it was."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.runtime.building import HERE, build, build_patch
from tests.runtime.client import ABORT, COMMIT, LOAD, MAPS, ROLLBACK_PREPARE, STATUS, STOP, Client

SCHEMES = ("trap", "flag")
SERVICE = HERE / "core" / "service.c"
SECOND = 1_000_000


class Service:
    """The running program, and its patches."""

    def __init__(
        self, program: Path, patches: dict[str, Path], counting: int = 2, dozing: int = 2, root: str = "/"
    ) -> None:
        self.program, self.patches = program, patches
        self.process = subprocess.Popen(
            [program, str(counting), str(dozing), root], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.lines = self.more = 0

    def say(self, text: str) -> str:
        """One line to the program; its answer."""
        assert self.process.stdin and self.process.stdout
        self.process.stdin.write(text + "\n")
        self.process.stdin.flush()
        return self.process.stdout.readline().strip()

    def tell(self, text: str) -> None:
        """A line whose answer does not matter."""
        self.last = self.say(text)
        self.lines += 1
        self.more += 1

    def wait_for_turns(self) -> None:
        """Until the threads that count have begun."""
        deadline = time.monotonic() + 10
        self.tell("a")
        while "turns 1" not in self.last:
            assert time.monotonic() < deadline
            time.sleep(0.01)
            self.tell("a")

    def runs(self, version: int) -> bool:
        """Whether this version answers, with everything as it should be."""
        self.lines += 1
        self.more += version
        answer = self.say("a")
        expected = f"v{version} {self.lines} {self.more} 7 configured turns 1 greet {100 * version}"
        if version == 2:
            expected += " extra 99 added 41"
        assert answer == expected
        return True

    def connect(self) -> Client:
        return Client(self.process.pid)

    def ends(self) -> bool:
        """Whether it ends as it should."""
        assert self.process.stdin
        self.process.stdin.write("q\n")
        self.process.stdin.flush()
        return self.process.wait(10) == 3


@pytest.fixture(scope="module", params=SCHEMES)
def built(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Path]]:
    """The program and its patches."""
    place = tmp_path_factory.mktemp("service")
    scheme = request.param
    program = build(SERVICE, place, scheme)
    patches = {
        "good": build_patch(SERVICE, program, scheme),
        "uncounted": build_patch(SERVICE, program, scheme, ["-DNO_COUNT"], "uncounted"),
        "missing": build_patch(SERVICE, program, scheme, ["-DMISSING"], "missing"),
    }
    return program, patches


@pytest.fixture
def service(built: tuple[Path, dict[str, Path]]) -> Iterator[Service]:
    """The program, running; it must end as it does without an update."""
    running = Service(*built)
    running.wait_for_turns()
    yield running
    if running.process.poll() is None:
        running.process.kill()
        running.process.wait()


def test_update_rollback_update(service: Service) -> None:
    client = service.connect()
    assert (client.hello["version"], client.hello["threads"], client.hello["history"]) == ("1", 5, [])
    done = client.update(service.patches["good"])
    assert done["ok"] and done["moved_objects"] == 1 and done["threads"] == 5, done
    assert service.runs(2)
    assert client.roll_back()["ok"]
    assert service.runs(1)
    assert client.update(service.patches["good"])["ok"]
    assert service.runs(2)
    status = client.request(STATUS)
    assert [e["outcome"] for e in status["history"]] == ["updated", "rolled_back", "updated"]
    assert (status["version"], status["images"], status["old_frames"]) == ("2", 2, 0)
    client.close()
    assert service.connect().hello["version"] == "2"
    assert service.ends()


def test_a_hundred_updates_load_one_image(service: Service) -> None:
    client = service.connect()
    for _ in range(50):
        assert client.update(service.patches["good"])["ok"]
        assert service.runs(2)
        assert client.roll_back()["ok"]
        assert service.runs(1)
    assert client.request(STATUS)["images"] == 2
    client.close()
    assert service.ends()


def test_nothing_to_roll_back(service: Service) -> None:
    client = service.connect()
    reply = client.request(ROLLBACK_PREPARE)
    assert not reply["ok"] and reply["kind"] == "unchanged"
    assert client.update(service.patches["good"])["ok"]
    assert client.roll_back()["ok"]
    assert not client.request(ROLLBACK_PREPARE)["ok"]  # only the last update


def test_abort_before_commit(service: Service) -> None:
    client = service.connect()
    assert client.request(LOAD, 0, service.patches["good"])["ok"]
    assert client.request(STOP, SECOND)["ok"]
    assert client.request(ABORT)["ok"]
    assert service.runs(1)
    assert not client.request(COMMIT)["ok"]
    assert service.runs(1)


@pytest.mark.parametrize("when", ["loaded", "stopped"])
def test_coordinator_vanishes(service: Service, when: str) -> None:
    client = service.connect()
    assert client.request(LOAD, 0, service.patches["good"])["ok"]
    if when == "stopped":
        assert client.request(STOP, SECOND)["ok"]
    client.socket.close()
    assert service.runs(1)
    assert service.connect().update(service.patches["good"])["ok"]
    assert service.runs(2)


def test_second_coordinator_is_told(service: Service) -> None:
    first = service.connect()
    second = service.connect()
    assert not second.hello["ok"] and second.hello["kind"] == "refused"
    assert first.update(service.patches["good"])["ok"]
    assert service.runs(2)


def test_pointer_to_moved_object(service: Service) -> None:
    service.tell("p")
    client = service.connect()
    reply = client.update(service.patches["good"])
    assert not reply["ok"] and reply["kind"] == "refused"
    assert "config (struct config)" in reply["reason"] and reply["reason"].endswith("pointed to from pointer")
    assert service.runs(1)
    service.tell("n")
    assert client.update(service.patches["good"])["ok"]
    assert service.runs(2)
    assert [e["outcome"] for e in client.request(STATUS)["history"]] == ["refused", "updated"]


def test_no_continuation(service: Service) -> None:
    client = service.connect()
    reply = client.update(service.patches["uncounted"])
    assert not reply["ok"] and reply["kind"] == "refused"
    assert "count(), line " in reply["reason"] and "no continuation in version 2" in reply["reason"]
    assert service.runs(1)
    assert client.update(service.patches["good"])["ok"]
    assert service.runs(2)


def test_thread_in_a_library(service: Service) -> None:
    client = service.connect()
    service.tell("o")
    time.sleep(0.2)  # they sleep 20 ms between their library calls
    reply = client.update(service.patches["good"], 0.05)
    assert reply["kind"] == "timed_out" and reply["culprits"]
    assert "is in usleep, called from doze()" in reply["detail"]
    assert service.runs(1)
    service.tell("i")
    assert client.update(service.patches["good"])["ok"]
    assert service.runs(2)


def test_threads_of_a_library_are_left_alone(service: Service) -> None:
    service.tell("f")
    service.tell("f")
    client = service.connect()
    assert client.update(service.patches["good"])["ok"]
    assert service.runs(2)


def test_library_that_calls_back_for_ever(service: Service) -> None:
    service.tell("g")
    time.sleep(0.1)
    client = service.connect()
    reply = client.update(service.patches["good"], 0.2)
    assert not reply["ok"] and reply["kind"] == "timed_out"
    assert "count()" in reply["detail"]
    assert service.runs(1)


def test_thread_in_an_older_version(service: Service) -> None:
    client = service.connect()
    assert client.update(service.patches["good"])["ok"]
    assert service.runs(2)
    service.say("t")
    service.lines, service.more = service.lines + 1, service.more + 2
    time.sleep(0.1)
    reply = client.roll_back(0.2)
    assert not reply["ok"] and reply["kind"] == "timed_out"
    # Or it was met in the middle of a call to the C library.
    found = ("count(), which is of an older version", "called from count()")
    assert any(text in reply["detail"] for text in found), reply
    assert service.runs(2)


def test_wrong_build(service: Service) -> None:
    client = service.connect()
    assert client.update(service.patches["good"])["ok"]
    reply = client.request(LOAD, 0, service.patches["uncounted"])
    assert not reply["ok"] and "another build" in reply["reason"]
    assert service.runs(2)


def test_a_variable_that_nobody_has(service: Service) -> None:
    reply = service.connect().request(LOAD, 0, service.patches["missing"])
    assert not reply["ok"]
    assert reply["reason"] == "the patch needs up$ffffffffffff$missing, which the program does not have"
    assert service.runs(1)
    assert service.connect().update(service.patches["good"])["ok"]
    assert service.runs(2)


@pytest.mark.parametrize("damage", ["short", "text", "table"])
def test_damaged_patch(service: Service, tmp_path: Path, damage: str) -> None:
    data = bytearray(service.patches["good"].read_bytes())
    if damage == "short":
        del data[len(data) // 2 :]
    elif damage == "text":
        data = bytearray(b"no ELF file at all, but long enough to be read as one" * 10)
    else:
        at = data.find(b"UPT1")
        while at >= 0:
            data[at + 60 : at + 64] = b"\xff\xff\xff\x7f"
            at = data.find(b"UPT1", at + 1)
    bad = tmp_path / "bad.so"
    bad.write_bytes(data)
    client = service.connect()
    reply = client.request(LOAD, 0, bad)
    assert not reply["ok"] and reply["reason"]
    assert not client.request(STOP, SECOND)["ok"]
    assert service.runs(1)
    assert client.update(service.patches["good"])["ok"]
    assert service.runs(2)


def test_update_under_the_storm(built: tuple[Path, dict[str, Path]], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UPSTARE_STORM", "5")
    service = Service(*built)
    service.wait_for_turns()
    client = service.connect()
    for _ in range(10):
        assert client.update(service.patches["good"])["ok"]
        assert service.runs(2)
        assert client.roll_back()["ok"]
        assert service.runs(1)
    assert service.ends()


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_after_dropping_privileges(service: Service) -> None:
    service.tell("u")
    client = service.connect()
    assert client.update(service.patches["good"])["ok"]
    assert service.runs(2)
    assert client.roll_back()["ok"]
    assert service.runs(1)
    assert service.ends()


@pytest.fixture
def locked_up(built: tuple[Path, dict[str, Path]], tmp_path: Path) -> Service:
    """With an empty directory as its root, so without /proc."""
    if os.geteuid() != 0:
        pytest.skip("needs root")
    service = Service(*built, root=str(tmp_path))
    service.wait_for_turns()
    service.tell("c")
    return service


def does_not_see(service: Service, client: Client) -> bool:
    """Whether it refuses what changes a type, because it cannot find out who points to it."""
    reply = client.update(service.patches["good"])
    return not reply["ok"] and "cannot see its own memory map" in reply["reason"] and service.runs(1)


def test_in_a_chroot(locked_up: Service, tmp_path: Path) -> None:
    client = locked_up.connect()
    assert does_not_see(locked_up, client)
    with open(f"/proc/{locked_up.process.pid}/maps") as maps:
        assert client.request(MAPS, descriptor=maps.fileno())["ok"]
    assert client.update(locked_up.patches["good"])["ok"]
    assert locked_up.runs(2)
    assert list(tmp_path.iterdir()) == []
    assert locked_up.ends()


def test_a_memory_map_that_is_none(locked_up: Service) -> None:
    """Nothing is looked for in what is no map; what could keep the agent waiting is not even taken."""
    client = locked_up.connect()
    assert client.request(MAPS, patch=Path("/dev/null"))["ok"]  # an empty file
    assert does_not_see(locked_up, client)
    pipe = os.pipe()
    with pytest.raises(AssertionError, match="the agent hung up"):
        client.request(MAPS, descriptor=pipe[0])
    for descriptor in pipe:
        os.close(descriptor)
    assert locked_up.runs(1)
    assert locked_up.ends()


def test_ends_while_stopped(service: Service) -> None:
    client = service.connect()
    assert client.request(LOAD, 0, service.patches["good"])["ok"]
    assert client.request(STOP, SECOND)["ok"]
    service.process.send_signal(signal.SIGKILL)
    assert service.process.wait(5) == -signal.SIGKILL
