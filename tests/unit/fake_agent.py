"""A process that answers the coordinator as the runtime would, or as badly as a test wants it to.

Run as ``fake_agent.py SCRIPT`` where SCRIPT is a JSON object: ``hello`` (merged into the greeting), ``ready``
(false: no handler for the reserved signal), ``deaf`` (never connects), ``not_now`` (says that it cannot start the
agent), ``impostor`` (a child connects first), ``slow`` (how many signals to let pass), ``fork`` (how many children
of the same kind to have), ``too_late`` (casts a no right after its vote), and for each request name a reply object
merged into the usual one or a word: ``die``, ``hang up``, ``hang``, ``stop`` (SIGSTOP), ``nonsense``, ``huge``, ``cut``
(dies in the middle of the reply), ``die later`` (once the ballot is cast), ``execute`` (another program), ``execute
again`` (its own, which then behaves). Prints a line for each thing that happens.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import mmap
import os
import signal
import socket
import struct
import sys
from typing import Any

ATTENTION = 63
NAMES = {
    1: "STATUS", 2: "LOAD", 3: "STOP", 4: "COMMIT", 5: "ABORT", 6: "ROLLBACK_PREPARE", 7: "BYE",
    8: "FAULT", 9: "CHECK", 10: "MAPS",
}  # fmt: skip
USUAL: dict[str, dict[str, Any]] = {
    "STATUS": {},
    "LOAD": {"load_us": 120},
    "ROLLBACK_PREPARE": {"load_us": 5},
    "STOP": {"stop_us": 30, "threads": 3, "frames": 7},
    "COMMIT": {
        "transform_us": 4,
        "resume_us": 6,
        "pause_us": 44,
        "frames": 7,
        "moved_objects": 1,
        "threads": 3,
    },
    "ABORT": {},
    "CHECK": {},
    "MAPS": {},
}

script: dict[str, Any] = json.loads(sys.argv[1])
libc = ctypes.CDLL(None, use_errno=True)
ballots: list[mmap.mmap] = []


def say(text: str) -> None:
    print(text, flush=True)


def wait_for_signal() -> int:
    signals = (ctypes.c_ulong * 16)(1 << (ATTENTION - 1))
    information = ctypes.create_string_buffer(128)
    while libc.sigwaitinfo(ctypes.byref(signals), information) != ATTENTION:
        pass
    (nonce,) = struct.unpack_from("<Q", information, 24)
    return int(nonce)


def send(connection: socket.socket, message: dict[str, Any]) -> None:
    data = json.dumps(message).encode()
    connection.sendall(struct.pack("<I", len(data)) + data)


def misbehave(connection: socket.socket, how: str) -> None:
    if how in ("die", "die later"):
        os._exit(1)
    if how == "cut":
        connection.sendall(struct.pack("<I", 1000) + b'{"ok": tr')
        os._exit(1)
    if how == "nonsense":
        connection.sendall(struct.pack("<I", 7) + b"1234567")
    if how == "huge":
        connection.sendall(struct.pack("<I", 0xFFFFFFFF))
    if how == "execute":
        os.execv("/bin/sleep", ["sleep", "60"])
    if how == "execute again":
        os.execv(os.readlink("/proc/self/exe"), [sys.executable, "-S", __file__, "{}"])
    if how == "stop":
        os.kill(os.getpid(), signal.SIGSTOP)
    if how == "hang up":
        connection.close()
        say("hung up")
        while True:
            signal.pause()


def receive(connection: socket.socket) -> tuple[str, int]:
    try:
        data, descriptors, _, _ = socket.recv_fds(connection, 24, 1)
    except ConnectionResetError:
        return "EOF", 0
    if not data:
        return "EOF", 0
    magic, op, a, _ = struct.unpack("<4sIQQ", data)
    assert magic == b"UPCM", magic
    name = NAMES[op]
    if name == "STOP":
        ballots[:] = [mmap.mmap(descriptors[0], mmap.PAGESIZE)]
        os.close(descriptors[0])
        say(f"{name} {a}")
    elif descriptors:
        seals = signal_seals(descriptors[0])
        content = os.read(descriptors[0], 4096).decode()
        say(f"{name} {content} seals={seals}")
        os.close(descriptors[0])
    else:
        say(name)
    return name, a


def signal_seals(descriptor: int) -> int:
    import fcntl

    return fcntl.fcntl(descriptor, fcntl.F_GET_SEALS)


def cast(commit: bool) -> bool:
    """The ballot's decision, after ours; ours is lost if another one was first."""
    if ballots[0][0] == 0:
        ballots[0][0] = 1 if commit else 2
    return ballots[0][0] == 1


def serve(nonce: int) -> None:
    address = f"\0upstare-{os.getpid()}-{nonce:016x}"
    if script.get("impostor") and os.fork() == 0:
        with socket.socket(socket.AF_UNIX) as other:
            other.connect(address)
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                send(other, {"hello": 5, "build": "evil", "program": "evil"})
                assert other.recv(100) == b"", "the coordinator talks to an impostor"
            say("impostor was dropped")
        os._exit(0)
    if script.get("impostor"):
        os.wait()
    connection = socket.socket(socket.AF_UNIX)
    try:
        connection.connect(address)
    except ConnectionRefusedError:  # the signal was for the program that was here before: it stays pending over exec
        say("nobody is there")
        return
    hello = {
        "hello": 5,
        "abi": 6,
        "pid": os.getpid(),
        "build": "a" * 64,
        "program": "server",
        "version": "1.0",
        "scheme": "trap",
        "threads": 3,
        "history": [],
    }
    greeting = script.get("hello", {})
    if isinstance(greeting, str):
        misbehave(connection, greeting)
    else:
        send(connection, {**hello, **greeting})
    while True:
        name, _ = receive(connection)
        if name in ("BYE", "EOF"):
            say(name) if name == "EOF" else None
            return
        reply = script.get(name, {})
        if name == "STOP" and script.get("too_late"):
            cast(False)
        if isinstance(reply, str):
            if reply == "die later":
                cast(True)
            misbehave(connection, reply)
        elif name == "COMMIT" and not cast(reply.get("ok", True)):
            send(connection, {"ok": False, "kind": "refused", "reason": "another process called it off", **reply})
        else:
            send(connection, {"ok": True, **USUAL[name], **reply})


def main() -> None:
    signal.pthread_sigmask(signal.SIG_BLOCK, {ATTENTION})
    if script.get("ready", True):
        signal.signal(ATTENTION, lambda *_: None)
    say("ready")
    children: list[int] = []
    for _ in range(script.get("fork", 0)):
        children.append(os.fork())
        if children[-1] == 0:
            children.clear()
            script.update(script.get("child", {}))
            libc.prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
            break
    else:
        say(" ".join(["children", *map(str, children)])) if children else None
    last = 0
    for _ in range(script.get("slow", 0)):
        wait_for_signal()
    while True:
        nonce = wait_for_signal()
        if script.get("not_now"):
            with socket.socket(socket.AF_UNIX) as connection:
                connection.connect(f"\0upstare-{os.getpid()}-{nonce:016x}")
                send(connection, {"not_now": 1, "tid": os.getpid(), "pc": "0x1000", "caller": "0x1000"})
        if nonce != last and not script.get("deaf"):
            last = nonce
            serve(nonce)


main()
