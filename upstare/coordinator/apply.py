"""The update of one or several processes, all or nothing.

A :class:`Transition` walks through the states of ``docs/consistency.md``: *init* finds and greets the processes, *load*
brings the new version into each, *stop* stops all threads of all and lets every process prepare and vote, *complete*
has them commit. Up to the commit a "no", a deadline, Ctrl-C or our own death puts every process back on the old
version; the commit is one change of one word that all of them see (``ballot.py``).
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from upstare.coordinator import process as processes
from upstare.coordinator import tree as trees
from upstare.coordinator.ballot import Ballot, Decision
from upstare.coordinator.outcome import Outcome, ProcessOutcome, UpdateFailed, outcome_of
from upstare.coordinator.process import NoSuchProcess, Process
from upstare.coordinator.protocol import ConnectionLost, Executed, Op, Session, blame, connect
from upstare.coordinator.replies import Reply
from upstare.coordinator.sharing import Outsider, Sharing
from upstare.errors import EXIT_UNCHANGED, DeadlineMissed, NotUpdatable, UpstareError
from upstare.patch.file import PatchFile, read_patch

LOAD_PATIENCE = 60.0
STOP_GRACE = 2.0
DECISION_GRACE = 10.0  # beyond two deadlines: for processes that appear while others stop
COMMIT_PATIENCE = 10.0
BALLOT_PATIENCE = 1.0  # for a process that has hung up to settle the decision
FIRST_PAUSE, LAST_PAUSE = 0.01, 0.2  # between tries, for messages in flight to be read
SHARING_PATIENCE = 0.1  # for a child that is about to execute another program


class Unchanged(UpstareError):
    """There is nothing to do."""

    exit_code = EXIT_UNCHANGED


class NotNow(NotUpdatable):
    """It cannot be done as things stand. A moment later it may."""


class InFlight(NotNow):
    """Messages are on their way that the new version would not understand. A moment later they may be read."""


@dataclass(eq=False)
class Member:
    """One process of a transition, locked, and the conversation with it."""

    process: Process
    file: tuple[int, int]  # of the program: device, inode
    family: trees.Family | None
    began: int  # clock ticks since the machine did
    lock: int
    session: Session
    outcome: ProcessOutcome
    checks: bool = False  # it can say whether messages are in flight

    @property
    def hello(self) -> Reply:
        """What the agent said of its process."""
        return self.session.hello

    def close(self) -> None:
        """Let go of the process."""
        self.session.close()
        os.close(self.lock)
        self.process.close()


class Plan:
    """What a transition does to its processes: which ones it fits, and how they are made ready."""

    def fits(self, member: Member) -> None:
        """Raise NotUpdatable if the update is not for this process, Unchanged if it needs none."""
        raise NotImplementedError

    def request_twin(self, session: Session) -> bool:
        """Send what the process needs before :meth:`request`, and return True; nothing if it needs nothing."""
        return False

    def request(self, session: Session) -> None:
        """Send the request that makes the process ready to stop."""
        raise NotImplementedError

    def report(self, member: Member) -> tuple[str | None, str | None, str | None]:
        """Program, version before, version after."""
        raise NotImplementedError


class Forward(Plan):
    """Take processes to the new version of a patch, which is sent as a sealed memory file."""

    def __init__(self, patch: PatchFile) -> None:
        self.patch = patch
        self.header: dict[str, Any] = patch.header

    def fits(self, member: Member) -> None:
        hello, header = member.hello, self.header
        runs = _version(hello["program"], hello.get("version"), hello["build"])
        if hello["build"] == header["to_build"]:
            raise Unchanged(f"{member.process.name()} already runs {runs}")
        if hello["build"] != header["from_build"]:
            wants = _version(header["program"], header.get("from_version"), header["from_build"])
            raise NotUpdatable(
                f"the patch is for {wants}, but {member.process.name()} runs {runs}",
                hint="make a patch from the executable that the process was started from",
            )
        if hello["abi"] != header["abi"]:
            raise NotUpdatable(
                f"the patch and {member.process.name()} were built by different releases of UpStare "
                f"(interface {header['abi']} and {hello['abi']})",
                hint="make the patch with the release that built the running program",
            )

    def request_twin(self, session: Session) -> bool:
        needed = bool(self.patch.twin) and session.hello.get("resumes") is False
        if needed:
            self._send(session, f"upstare-{self.header.get('from_version')}-twin", self.patch.twin, 1)
        return needed

    def request(self, session: Session) -> None:
        self._send(session, f"upstare-{self.header.get('to_version')}", self.patch.payload, 0)

    def _send(self, session: Session, name: str, content: bytes, what: int) -> None:
        # A file of its own for each process and each try: the dynamic linker knows files by their inode.
        descriptor = sealed_file(name, content)
        try:
            if session.room is not None:
                session.room.leave_file(descriptor, content)
            session.send(Op.LOAD, a=what, descriptor=descriptor)
        finally:
            os.close(descriptor)

    def report(self, member: Member) -> tuple[str | None, str | None, str | None]:
        return self.header["program"], self.header.get("from_version"), self.header.get("to_version")


class Backward(Plan):
    """Take processes back to the version before their last update."""

    def fits(self, member: Member) -> None:
        if not member.hello.get("history"):
            raise Unchanged(f"{member.process.name()} was never updated: there is nothing to go back to")

    def request(self, session: Session) -> None:
        session.send(Op.ROLLBACK_PREPARE)

    def report(self, member: Member) -> tuple[str | None, str | None, str | None]:
        hello = member.hello
        updates = [entry for entry in hello.get("history", []) if entry.get("outcome") == "updated"]
        return hello["program"], hello.get("version"), updates[-1].get("from_version") if updates else None


class Transition:
    """One update under way. Use :func:`run`."""

    def __init__(self, plan: Plan, pids: list[int], *, tree: bool, timeout: float) -> None:
        self.plan = plan
        self.pids = pids
        self.tree = tree
        self.timeout = timeout
        self.members: list[Member] = []
        self.ballot = Ballot()
        self._orphans = trees.Orphans()
        self._sharing = Sharing()
        self._passed_over: set[int] = set()
        self._borrowers: list[tuple[int, int]] = []  # those that work in the memory of their parent, and that
        self._up_to_date: set[int] = set()
        self._stop_sent = 0.0

    def init(self) -> None:
        """Hold, lock and greet every process. Raises Unchanged if none of them needs the update."""
        unchanged: list[str] = []
        for pid in dict.fromkeys(self.pids):
            try:
                self._admit(pid)
            except Unchanged as reason:
                unchanged.append(str(reason))
                self._up_to_date.add(pid)
        self._admit_relatives()
        if not self.members:
            raise Unchanged("; ".join(unchanged))

    def load(self, members: list[Member]) -> None:
        """Bring the new version into these processes, which run on meanwhile."""
        asked: list[Member] = []
        for member in members:
            with self._may_end(member):
                member.session.lend(self.timeout)
                if self.plan.request_twin(member.session):
                    asked.append(member)
        for member in self._still(asked):
            with self._may_end(member):
                self._loaded(member)
        for member in self._still(members):
            with self._may_end(member):
                self.plan.request(member.session)
        for member in self._still(members):
            with self._may_end(member):
                member.checks = bool(self._loaded(member).get("checks"))

    def _loaded(self, member: Member) -> Reply:
        reply = _granted(member, member.session.receive_while_it_runs(self.timeout, LOAD_PATIENCE))
        member.outcome.load_us = (member.outcome.load_us or 0) + int(reply.get("load_us", 0))
        member.session.loaded()
        return reply

    def verify_sharing(self) -> None:
        """Refuse if a process that is not ours shares memory with one that is. Asked before anything is stopped."""
        self._sharing.survey(member.process.pid for member in self.members)
        self._refuse_outsiders(late=False)

    def stop(self) -> None:
        """Stop all threads of all processes and have every process vote; new children are taken in as they appear."""
        self._stop_sent = time.monotonic()
        decided_by = self._stop_sent + 2 * self.timeout + DECISION_GRACE
        fresh = list(self.members)
        while fresh:
            left = decided_by - time.monotonic()
            if left < 0:
                raise DeadlineMissed("new processes appear faster than they can be stopped")
            for member in self._still(fresh):
                with self._may_end(member):
                    member.session.send(
                        Op.STOP, a=int(self.timeout * 1e6), b=int(left * 1e6), descriptor=self.ballot.descriptor
                    )
            for member in self._still(fresh):
                with self._may_end(member):
                    reply = _granted(member, member.session.receive(self.timeout + STOP_GRACE))
                    _copy(reply, member.outcome, "stop_us", "threads", "frames")
            fresh = self._admit_relatives() or self._admit_borrowers()
            self.load(fresh)
        self._refuse_outsiders(late=True)

    def check(self) -> None:
        """Have those that can tell look for messages in flight. All stand still: nobody sends or receives any more."""
        asked = [member for member in self.members if member.checks]
        for member in asked:
            with self._may_end(member):
                member.session.send(Op.CHECK)
        found: list[UpstareError] = []
        for member in self._still(asked):
            with self._may_end(member):
                reply = member.session.receive(self.timeout + STOP_GRACE)
                try:
                    _granted(member, reply)
                except UpstareError as error:
                    found.append(error)
        if found:  # the others go back because of the first that says no
            raise next((error for error in found if isinstance(error, NotNow)), found[0])

    def release(self) -> None:
        """Put everybody back on the old version, ready for another try."""
        self.cancel()
        for member in list(self.members):
            with self._may_end(member):
                if member.process.ended():
                    raise NoSuchProcess(f"process {member.process.pid} ended during the update")
                if not member.session.idle():
                    raise DeadlineMissed(f"{member.process.name()} did not answer in time")
        self.ballot.close()
        self.ballot = Ballot()

    def complete(self) -> None:
        """Commit in every process. The first that is asked decides for all, even if we or it are gone a moment later.

        Raises the reason if the decision was against it: then all processes are back on the old version.
        """
        lost: list[UpstareError] = []
        asked: list[Member] = []
        for member in self.members:
            try:
                member.session.send(Op.COMMIT)
                asked.append(member)
            except UpstareError as error:
                self._lose(member, error)
                if not asked and member.outcome.outcome != "ended":
                    raise
                if not asked and member.process.pid in self.pids:
                    raise
                lost.append(error)
        refusals: list[UpstareError] = []
        deadline = time.monotonic() + COMMIT_PATIENCE
        for member in asked:
            try:
                reply = member.session.receive(max(0.0, deadline - time.monotonic()))
            except UpstareError as error:
                self._lose(member, error)
                lost.append(error)
                continue
            try:
                _granted(member, reply)
            except UpstareError as error:
                refusals.append(error)
                continue
            _copy(reply, member.outcome, "threads", "frames", "moved_objects")
            _copy(reply, member.outcome, "transform_us", "resume_us", "pause_us")
            member.outcome.outcome = "updated"
        if not self._committed():
            raise (refusals or lost)[0]
        survivors = [m for m in self.members if m.outcome.outcome != "ended"]
        if not survivors:
            raise lost[0]
        for member in survivors:
            if member.outcome.outcome != "updated":
                member.outcome.outcome = "pending"

    def cancel(self) -> None:
        """Put every process that has not committed back on the old version."""
        waiting = [member for member in self.members if member.outcome.outcome == "untouched"]
        for member in waiting:
            member.session.start_abort()
        for member in waiting:
            member.session.finish_abort()
            if member.process.ended():
                member.outcome.outcome = "ended"

    def close(self) -> None:
        """Hang up everywhere."""
        for member in self.members:
            member.close()
        self.ballot.close()

    def outcome(self, name: str, reason: str | None = None) -> Outcome:
        """The report as things stand."""
        result = Outcome(name, reason, processes=[member.outcome for member in self.members])
        if self.members:
            result.program, result.from_version, result.to_version = self.plan.report(self.members[0])
        for times in ("load_us", "stop_us", "transform_us", "resume_us", "pause_us"):
            known = [value for p in result.processes if (value := getattr(p, times)) is not None]
            setattr(result, times, max(known, default=None))
        if len(self.members) > 1 and name == "updated":
            result.pause_us = (time.monotonic() - self._stop_sent) * 1e6
        return result

    def _admit(self, pid: int) -> Member:
        process = processes.attach(pid)
        try:
            file = processes.file_of(pid)
            lock = processes.lock(process)
        except BaseException:
            process.close()
            raise
        try:
            session = connect(process, self.timeout)
        except BaseException:
            os.close(lock)
            process.close()
            raise
        outcome = ProcessOutcome(pid, threads=session.hello.get("threads", 0))
        member = Member(process, file, session.family, trees.started(pid), lock, session, outcome)
        try:
            self.plan.fits(member)
        except BaseException:
            member.close()
            raise
        self.members.append(member)
        return member

    def _admit_relatives(self) -> list[Member]:
        """Take in descendants and orphans that run the same program and are not members yet; pass over the others."""
        fresh: list[Member] = []
        self._borrowers = []
        if not self.tree or not self.members:
            return fresh
        members = {member.process.pid for member in self.members}
        known = members | self._passed_over
        families = {member.family for member in self.members if member.family is not None}
        begun = min(member.began for member in self.members)
        candidates = [child for root in self.pids for child in trees.descendants(root)]
        for pid in [*candidates, *self._orphans.find(families, known | set(candidates), begun)]:
            if pid in known:
                continue
            known.add(pid)
            if parent := trees.lender(pid):
                self._borrowers.append((pid, parent))
            elif member := self._admit_relative(pid):
                fresh.append(member)
            else:
                self._passed_over.add(pid)
        return fresh

    def _admit_relative(self, pid: int) -> Member | None:
        """Take in a process if it runs our program, whatever it executes meanwhile."""
        while True:
            family = trees.family(pid)
            try:
                return self._admit(pid) if self._runs_ours(pid) else None
            except Unchanged:
                self._up_to_date.add(pid)
                return None
            except (NoSuchProcess, PermissionError):
                return None
            except (NotUpdatable, ConnectionLost):
                if family is not None and trees.family(pid) == family:
                    raise

    def _admit_borrowers(self) -> list[Member]:
        """Take in children that worked in the memory of their parent. With that stopped, they have executed a program
        or are just doing so."""
        deadline = time.monotonic() + SHARING_PATIENCE
        while self._borrowers:
            pid, parent = self._borrowers[0]
            if time.monotonic() > deadline:
                child, other = processes.name_of(pid), processes.name_of(parent)
                raise NotUpdatable(
                    f"{child} works in the memory of {other} and cannot be stopped",
                    hint="try again when it has executed a program or ended",
                )
            time.sleep(0.001)
            if fresh := self._admit_relatives():
                return fresh
        return []

    def _runs_ours(self, pid: int) -> bool:
        """Whether a process runs the program that is updated. Raises NoSuchProcess, or PermissionError."""
        programs = {member.hello["program"] for member in self.members}
        return processes.file_of(pid) in {member.file for member in self.members} or _program(pid) in programs

    def _same_program(self, pid: int) -> bool:
        try:
            return self._runs_ours(pid)
        except (NoSuchProcess, PermissionError):
            return False

    def _refuse_outsiders(self, *, late: bool) -> None:
        deadline = time.monotonic() + SHARING_PATIENCE
        while True:
            inside = {os.getpid(), *self._up_to_date, *(member.process.pid for member in self.members)}
            found = self._sharing.outsiders(inside, self._same_program, late=late)
            if not found:
                return
            if time.monotonic() > deadline:
                raise self._outside(found)
            time.sleep(0.005)

    def _outside(self, found: list[Outsider]) -> NotUpdatable:
        hint = "a process of another program cannot take part: end it, or have it let go of the memory, for the update"
        if all(self._same_program(outsider.pid) for outsider in found):
            others = " ".join(f"--pid {outsider.pid}" for outsider in found)
            hint = f"update them together: --tree, --name, or also {others}"
        shares = [
            f"{processes.name_of(pid)} shares {segment} with {processes.name_of(insider)}"
            for pid, segment, insider in found
        ]
        return NotUpdatable(f"{'; '.join(shares)}, and is no part of the update", hint=hint)

    def _still(self, members: list[Member]) -> list[Member]:
        """Those that have not ended."""
        return [member for member in members if member in self.members]

    @contextmanager
    def _may_end(self, member: Member) -> Iterator[None]:
        """A process that is here only as a descendant may end before the commit: then it needs no update. Or it may
        execute a program before it is stopped: then it is looked at anew."""
        pid = member.process.pid
        try:
            yield
        except NoSuchProcess:
            if pid in self.pids:
                raise
            self._passed_over.add(pid)
            self.members.remove(member)
            member.close()
        except Executed:
            if pid in self.pids:
                raise
            self.members.remove(member)
            member.close()

    def _lose(self, member: Member, error: UpstareError) -> None:
        """Contact broke in the commit: the process has ended, or nobody knows yet."""
        ended = isinstance(error, NoSuchProcess) or member.process.ended()
        member.outcome.outcome = "ended" if ended else "unknown"

    def _committed(self) -> bool:
        """Whether the decision was to commit. A process that hung up without a word is about to say no."""
        deadline = time.monotonic() + BALLOT_PATIENCE
        while self.ballot.decision() is Decision.OPEN and time.monotonic() < deadline:
            time.sleep(0.01)
        return self.ballot.decision() is Decision.COMMITTED


def apply(path: Path, pids: list[int], *, tree: bool = False, timeout: float = 5.0) -> Outcome:
    """Update processes with a patch file.

    Returns:
        the outcome 'updated'.

    Raises:
        UpdateFailed: nothing was updated; its exit code and outcome say why.
        UpstareError: the patch file cannot be used.
    """
    return run(Forward(read_patch(path)), pids, tree=tree, timeout=timeout)


def rollback(pids: list[int], *, tree: bool = False, timeout: float = 5.0) -> Outcome:
    """Take processes back to the version before their last update. Raises as :func:`apply` does."""
    return run(Backward(), pids, tree=tree, timeout=timeout)


def run(plan: Plan, pids: list[int], *, tree: bool, timeout: float) -> Outcome:
    """Do a whole transition, or none of it."""
    transition = Transition(plan, pids, tree=tree, timeout=timeout)
    outcome: Outcome | None = None
    try:
        transition.init()
        _prepare(transition)
        with _undisturbed():
            transition.complete()
            outcome = transition.outcome("updated")
        return outcome
    except UpstareError as error:
        transition.cancel()
        raise UpdateFailed(transition.outcome(outcome_of(error), str(error)), hint=_hint(error)) from error
    except KeyboardInterrupt:
        if outcome is not None:  # it came during the commit and was held back: too late
            return outcome
        transition.cancel()
        raise UpdateFailed(transition.outcome("error", "interrupted; the old version runs on")) from None
    finally:
        transition.close()


def _prepare(transition: Transition) -> None:
    """Everything up to the decision. While messages are in flight, or a process says "not now", the processes run on
    for a moment, until the timeout is over."""
    deadline = time.monotonic() + transition.timeout
    pause = FIRST_PAUSE
    while True:
        try:
            transition.load(list(transition.members))
            transition.verify_sharing()
            transition.stop()
            transition.check()
            return
        except NotNow:
            if time.monotonic() + pause > deadline:
                raise
        transition.release()
        time.sleep(pause)
        pause = min(2 * pause, LAST_PAUSE)


def sealed_file(name: str, content: bytes) -> int:
    """The descriptor of a memory file with this content that nobody can change any more."""
    import fcntl

    descriptor = os.memfd_create(name, os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        view = memoryview(content)
        while view:
            view = view[os.write(descriptor, view) :]
        os.lseek(descriptor, 0, os.SEEK_SET)
        seals = fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE
        fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, seals)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _granted(member: Member, reply: Reply) -> Reply:
    """The reply if it is a yes; else the error that it stands for."""
    if reply.get("ok"):
        return reply
    kinds: dict[str, Callable[[str], UpstareError]] = {
        "refused": NotUpdatable,
        "timed_out": DeadlineMissed,
        "in_flight": InFlight,
        "not_now": NotNow,
        "unchanged": Unchanged,
    }
    reason = reply.get("reason") or "the process gave no reason"
    if reply.get("culprits"):
        reason = "; ".join([reason, *blame(member.process, reply["culprits"])])
    raise kinds.get(str(reply.get("kind")), UpstareError)(f"{member.process.name()}: {reason}")


def _copy(reply: Reply, outcome: ProcessOutcome, *names: str) -> None:
    for name in names:
        if isinstance(reply.get(name), int | float):
            setattr(outcome, name, reply[name])


def _hint(error: UpstareError) -> str | None:
    if isinstance(error, DeadlineMissed) and error.hint is None:
        return "the old version runs on; try again, or with a longer --timeout"
    if isinstance(error, InFlight) and error.hint is None:
        return "the old version runs on; try again when less is on its way, or with a longer --timeout"
    if isinstance(error, NotNow) and error.hint is None:
        return "the old version runs on; try again, or with a longer --timeout"
    return error.hint


def _version(program: str, version: str | None, build: str) -> str:
    return f"{program if version in (None, program) else f'{program} {version}'} [build {build[:12]}]"


def _program(pid: int) -> str | None:
    """The program of a process, or None if it is not updateable, or was built by another release."""
    try:
        process = processes.attach(pid)
    except NotUpdatable:
        return None
    try:
        return processes.describe(process).program
    except NoSuchProcess:
        raise
    except UpstareError:
        return None
    finally:
        process.close()


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Keep Ctrl-C and a termination away from us: half a commit is what we must not leave behind."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM, signal.SIGHUP})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
