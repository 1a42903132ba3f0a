"""Faults in updates of a tree of processes: ``python -m tests.stress.faults --rounds 2000``.

Each round updates the whole tree, there or back, while something goes wrong that the round's number decides: a process
or the coordinator is killed or stopped at some step, refuses, is late, or has no memory left. Afterwards everything
that lives must run one and the same version, the one that the coordinator reported if it could, and while the round ran
no process may have shown the version before once another one had shown the version after.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import resource
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console
from rich.progress import track

from tests.support import tool
from tests.support.build import C_FLAGS, run_build
from tests.support.process import Program
from upstare.coordinator.apply import apply, rollback
from upstare.coordinator.outcome import UpdateFailed
from upstare.coordinator.protocol import Op, Session
from upstare.errors import UpstareError

SOURCE = Path(__file__).with_name("tree.c")
VERSIONS = ("old", "new")
STEPS = ("load", "loaded", "stop", "stopped", "unrolled", "prepared", "check", "decide", "decided", "switched", "done")
ACTIONS = ("kill", "stop", "refuse", "late")
ORDERS = {"kill": 1, "stop": 2, "refuse": 3, "late": 4 | 40 << 8}
TIMEOUT = 1.0
HANG = 25.0  # seconds after which a coordinator hangs: two deadlines, and the grace for the decision
SETTLE = 15.0
HOOK = """
/* There are none: so that all processes are asked. */
int upstare_in_flight_word(struct upstare_context *context) {
  return context == 0;
}
"""
COUNTED = 48  # operations of a coordinator among which its faults are spread


@dataclass
class Fault:
    """What goes wrong in a round.

    Attributes:
        kind: 'process' (the step and action of one), 'coordinator' (killed or stopped at its n-th operation),
            'murder' (a process is killed at any time), 'memory' (a process may map nothing more), 'none'.
        victim: a number that chooses among the processes (0: the master).
    """

    kind: str
    victim: int = 0
    step: str = ""
    action: str = ""
    at: float = 0.0

    @staticmethod
    def chosen(number: int) -> Fault:
        """The fault of a round, by its number alone."""
        rng = random.Random(number)
        kind = rng.choices(("process", "coordinator", "murder", "memory", "none"), (50, 25, 15, 5, 5))[0]
        fault = Fault(kind, rng.randrange(8), at=rng.random())
        if kind == "process":
            fault.step, fault.action = rng.choice(STEPS), rng.choice(ACTIONS)
        if kind == "coordinator":
            fault.action = rng.choice(("kill", "stop"))
        return fault

    def __str__(self) -> str:
        return " ".join(
            word for word in (self.kind, self.action, self.step, f"victim {self.victim} at {self.at:.2f}") if word
        )


def build(directory: Path) -> tuple[list[Path], Path]:
    """The program in both versions, and the patch from one to the other."""
    programs = []
    for version in VERSIONS:
        out = directory / version / "tree"
        out.parent.mkdir(parents=True)
        words = [*tool.UPSTARE, "cc", *C_FLAGS, f'-DVERSION="{version}"', "-o", out.name, str(SOURCE)]
        if version == "new":
            words.append("-DNEW")
        run_build(words, out.parent, UPSTARE_VERSION=version)
        programs.append(out)
    hook = directory / "hook.c"
    hook.write_text(HOOK)
    tool.expect(tool.patch(*programs, directory / "x.upatch", "--transformers", hook))
    return programs, directory / "x.upatch"


@dataclass
class Tree:
    """A tree that runs, and the version that it must be in."""

    program: Program
    version: str = VERSIONS[0]
    lost: set[int] = field(default_factory=set)  # killed by us

    @staticmethod
    def started(executable: Path) -> Tree:
        """A new tree in the old version, complete."""
        tree = Tree(Program(["setsid", executable], env={"UPSTARE_FAULTS": "1"}))
        for who in ("master", "worker", "orphan"):
            tree.program.expect(who)
        return tree

    @property
    def master(self) -> int:
        """The process that the others come from."""
        return self.program.pid

    def pids(self) -> list[int]:
        """All that live, the master first."""
        found = []
        for name in os.listdir("/proc"):
            if not name.isdecimal():
                continue
            with contextlib.suppress(OSError):
                state, _, group = Path(f"/proc/{name}/stat").read_text().rpartition(")")[2].split()[:3]
                if int(group) == self.master and state != "Z":
                    found.append(int(name))
        return sorted(found, key=lambda pid: (pid != self.master, pid))

    def wake(self) -> None:
        """Nobody is stopped any more."""
        for pid in self.pids():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)

    def end(self) -> None:
        """No process of it is left."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.master, signal.SIGKILL)
        self.program.child.wait()
        for stream in (self.program.child.stdin, self.program.child.stdout):
            assert stream is not None
            stream.close()


class Coordinator:
    """A coordinator in a process of its own, which can be made to fail at its n-th send or receive."""

    def __init__(self, action: Callable[[], object], fault: Fault, victims: Sequence[int]) -> None:
        self.output = tempfile.TemporaryFile()  # noqa: SIM115 (closed with the object)
        self.pid = os.fork()
        if self.pid == 0:
            status = 1
            try:
                os.setpgid(0, 0)
                self._tamper(fault, victims)
                os.write(self.output.fileno(), json.dumps(_outcome(action)).encode())
                status = 0
            finally:
                os._exit(status)

    def _tamper(self, fault: Fault, victims: Sequence[int]) -> None:
        send, receive = Session.send, Session.receive
        count = 0

        def pass_on(session: Session, op: Op, *rest: object, **more: object) -> None:
            strike()
            if fault.kind == "process" and op in (Op.LOAD, Op.ROLLBACK_PREPARE) and session.process.pid in victims:
                send(session, Op.FAULT, STEPS.index(fault.step) + 1, ORDERS[fault.action])
                receive(session, 5.0)
            send(session, op, *rest, **more)  # type: ignore[arg-type]

        def strike() -> None:
            nonlocal count
            count += 1
            if fault.kind == "coordinator" and count == 1 + int(fault.at * COUNTED):
                os.kill(os.getpid(), signal.SIGKILL if fault.action == "kill" else signal.SIGSTOP)

        def take(session: Session, timeout: float) -> dict[str, object]:
            strike()
            return receive(session, timeout)

        Session.send, Session.receive = pass_on, take  # type: ignore[method-assign, assignment]

    def ended(self) -> bool:
        """Whether it has ended, by itself or killed."""
        pid, _ = os.waitpid(self.pid, os.WNOHANG)
        return pid != 0

    def outcome(self) -> dict[str, str]:
        """What it reported: nothing if it was killed."""
        self.output.seek(0)
        data = self.output.read()
        self.output.close()
        result: dict[str, str] = json.loads(data) if data else {}
        return result


def _outcome(action: Callable[[], object]) -> dict[str, str]:
    try:
        action()
    except UpdateFailed as error:
        return {"outcome": error.outcome.outcome, "reason": str(error)}
    except UpstareError as error:
        return {"outcome": "error", "reason": str(error)}
    return {"outcome": "updated"}


def inject(tree: Tree, patch: Path, fault: Fault) -> str:
    """One round. What the coordinator reported; an AssertionError says what went wrong."""
    forward = tree.version == VERSIONS[0]
    after = VERSIONS[forward]
    pids = tree.pids()
    victim = pids[fault.victim % len(pids)]
    begun = time.monotonic_ns()

    def go() -> object:
        if forward:
            return apply(patch, [tree.master], tree=True, timeout=TIMEOUT)
        return rollback([tree.master], tree=True, timeout=TIMEOUT)

    limits = _without_memory(victim) if fault.kind == "memory" else None
    coordinator = Coordinator(go, fault, [victim])
    _wait(tree, coordinator, fault, victim)
    if limits is not None:
        with contextlib.suppress(ProcessLookupError):
            resource.prlimit(victim, resource.RLIMIT_AS, limits)
    tree.wake()
    outcome = coordinator.outcome()
    now = _settled(tree, outcome)
    _check_order(_words_since(begun, tree), before=tree.version, after=after)
    reported = outcome.get("outcome")
    if reported == "updated":
        assert now == after, f"reported {outcome}, but {now} runs"
    elif reported is not None:
        assert now == tree.version or now is None, f"reported {outcome}, but {now} runs"
    assert not [line for line in tree.program.lines if "DAMAGED" in line]
    if now is not None:
        tree.version = now
    return f"{reported}: {outcome.get('reason', '')}" if reported else "killed"


def _without_memory(pid: int) -> tuple[int, int]:
    """The process may map (nearly) nothing more. Its limits from before."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[0])
    limits = resource.prlimit(pid, resource.RLIMIT_AS)
    resource.prlimit(pid, resource.RLIMIT_AS, (pages * resource.getpagesize() + 65536, limits[1]))
    return limits


def _wait(tree: Tree, coordinator: Coordinator, fault: Fault, victim: int) -> None:
    begun = time.monotonic()
    murder = begun + fault.at * 0.15 if fault.kind == "murder" else None
    while not coordinator.ended():
        now = time.monotonic()
        tree.program.drain()
        if murder is not None and now > murder:
            murder = None
            with contextlib.suppress(ProcessLookupError):
                os.kill(victim, signal.SIGKILL)
        if fault.action == "stop" and now > begun + 0.3 + fault.at * 3:
            os.kill(coordinator.pid, signal.SIGCONT)  # again and again: it may not have stopped yet
            if fault.at < 0.5:  # the others find out before the victim is back
                tree.wake()
        if now > begun + HANG:
            os.kill(coordinator.pid, signal.SIGKILL)
            raise AssertionError("the coordinator hangs")
        time.sleep(0.002)


def _words_since(begun: int, tree: Tree) -> list[list[str]]:
    """What was said since then: pid, version, role, time. A line can be older than its place: it was held up."""
    tree.program.drain()
    return [words for line in tree.program.lines if int((words := line.split())[3]) >= begun]


def _settled(tree: Tree, outcome: dict[str, str]) -> str | None:
    """The one version that all processes run, once each has said so. None: nobody is left."""
    deadline = time.monotonic() + SETTLE
    begun = time.monotonic_ns()
    while True:
        alive = tree.pids()
        latest = {words[0]: words[1] for words in _words_since(begun, tree)}
        silent = [pid for pid in alive if str(pid) not in latest]
        versions = {version for pid, version in latest.items() if int(pid) in alive}
        if not silent and alive:
            assert len(versions) == 1, f"a mixture: {latest} after {outcome}"
            return versions.pop()
        if not alive:
            return None
        assert time.monotonic() < deadline, f"silent: {silent}, of {alive}, after {outcome}"
        time.sleep(0.005)


def _check_order(said: Sequence[Sequence[str]], before: str, after: str) -> None:
    """Once somebody speaks for the version after, nobody does for the one before."""
    times = {version: [int(words[3]) for words in said if words[1] == version] for version in (before, after)}
    if times[before] and times[after]:
        overlap = max(times[before]) - min(times[after])
        assert overlap < 0, f"both versions at a time, for {overlap} ns"


def campaign(faults: Iterable[Fault], directory: Path) -> Iterator[tuple[Fault, str]]:
    """One round for each fault: the fault, what was reported."""
    programs, patch = build(directory)
    tree = Tree.started(programs[0])
    try:
        for number, fault in enumerate(faults):
            if tree.master not in tree.pids():
                tree.end()
                tree = Tree.started(programs[0])
            try:
                result = inject(tree, patch, fault)
            except AssertionError as error:
                raise AssertionError(f"round {number} of this campaign ({fault}): {error}") from error
            del tree.program.lines[:]
            yield fault, result
    finally:
        tree.end()


def main() -> int:
    """Run a campaign and count."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=2000)
    parser.add_argument("--verbose", action="store_true", help="a line for each round")
    parser.add_argument("--first", type=int, default=0, help="number of the first round")
    options = parser.parse_args()
    console = Console(stderr=True)
    counts: Counter[tuple[str, str]] = Counter()
    numbers = range(options.first, options.first + options.rounds)
    with tempfile.TemporaryDirectory() as directory:
        try:
            rounds = campaign(map(Fault.chosen, numbers), Path(directory))
            for fault, result in track(rounds, "injecting", len(numbers), console=console):
                counts[fault.kind, result.partition(":")[0]] += 1
                if options.verbose:
                    print(f"{fault}: {result}")
        except AssertionError as error:
            console.print(f"[red]{error}")
            return 1
    for (kind, result), count in sorted(counts.items()):
        print(f"{count:6} {kind:12} {result}")
    print(f"{sum(counts.values())} rounds: never a mixture, never a hang")
    return 0


if __name__ == "__main__":
    sys.exit(main())
