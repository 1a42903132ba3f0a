"""What updateable processes say of themselves."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import Any

from upstare.coordinator import process as processes
from upstare.coordinator.process import NoSuchProcess
from upstare.coordinator.protocol import Op, connect
from upstare.coordinator.replies import Reply
from upstare.errors import UpstareError


@dataclass
class Status:
    """One process. ``reason`` says why it could not be asked; then the version is that of its executable."""

    pid: int
    program: str
    version: str
    build: str
    threads: int = 0
    scheme: str | None = None
    history: list[Reply] = field(default_factory=list)
    details: dict[str, Any] = field(default_factory=dict)
    reason: str | None = None


def status(pid: int, timeout: float) -> Status:
    """Ask one process. Raises UpstareError if it is not updateable or does not answer within ``timeout`` seconds."""
    process = processes.attach(pid)
    try:
        lock = processes.lock(process)
        try:
            session = connect(process, timeout)
            try:
                answer = {**session.hello, **session.request(Op.STATUS, timeout)}
            finally:
                session.close()
        finally:
            os.close(lock)
    finally:
        process.close()
    _name_versions(answer)
    known = ("program", "version", "build", "threads", "scheme", "history")
    return Status(
        pid,
        **{name: answer[name] for name in known if name in answer},
        details={k: v for k, v in answer.items() if k not in (*known, "hello", "ok", "pid", "reason", "kind")},
    )


def _name_versions(answer: dict[str, Any]) -> None:
    """Each frame has the version whose code it is in, if the agent found that it is the same for all of them."""
    if answer.get("old_frames") != 0:
        return
    for thread in answer.get("threads_detail", []):
        for frame in thread["frames"]:
            frame.setdefault("version", answer["version"])


def all_statuses(timeout: float) -> list[Status]:
    """Ask every updateable process; those that do not answer are in the list, with the reason."""
    result = []
    for pid in processes.updateable():
        try:
            result.append(status(pid, timeout))
        except NoSuchProcess:
            continue
        except UpstareError as error:
            result.append(_from_outside(pid, str(error)))
    return result


def _from_outside(pid: int, reason: str) -> Status:
    """What the executable says, for a process that does not answer itself."""
    try:
        process = processes.attach(pid)
    except UpstareError:
        return Status(pid, "?", "?", "", reason=reason)
    try:
        description = processes.describe(process)
    except UpstareError:  # of another release
        return Status(pid, "?", "?", "", reason=reason)
    finally:
        process.close()
    return Status(pid, description.program, description.version, description.build, reason=reason)
