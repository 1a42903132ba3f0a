"""A coordinator of a few lines, to talk to the runtime without the product's own."""

from __future__ import annotations

import ctypes
import json
import os
import secrets
import socket
import struct
import time
from pathlib import Path
from typing import Any

from upstare.coordinator.ballot import Ballot

STATUS, LOAD, STOP, COMMIT, ABORT, ROLLBACK_PREPARE, BYE = range(1, 8)
MAPS = 10
SIGNAL = 63
DECISION = 10.0  # seconds that the agent waits for it
_libc = ctypes.CDLL(None, use_errno=True)


def call(pid: int, nonce: int) -> None:
    """Queue the reserved signal with the number."""
    value = ctypes.c_void_p(nonce)
    assert _libc.sigqueue(pid, SIGNAL, value) == 0, os.strerror(ctypes.get_errno())


class Client:
    """A conversation with the agent of one process."""

    def __init__(self, pid: int, patience: float = 10.0) -> None:
        self.pid = pid
        self.complaints: list[dict[str, Any]] = []
        nonce = secrets.randbits(63) | 1
        end = time.monotonic() + patience
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(f"\0upstare-{pid}-{nonce:016x}")
            listener.listen(8)
            listener.settimeout(0.005)
            while True:
                assert time.monotonic() < end, f"no agent came: {self.complaints}"
                call(pid, nonce)
                try:
                    self.socket, _ = listener.accept()
                except TimeoutError:
                    continue
                self.socket.settimeout(patience)
                self.hello = self.receive()
                if not self.hello.get("not_now"):
                    break
                self.complaints.append(self.hello)

    def receive(self) -> dict[str, Any]:
        length = struct.unpack("<I", self._take(4))[0]
        reply: dict[str, Any] = json.loads(self._take(length))
        return reply

    def _take(self, count: int) -> bytes:
        data = b""
        while len(data) < count:
            more = self.socket.recv(count - len(data))
            assert more, "the agent hung up"
            data += more
        return data

    def request(
        self, op: int, a: int = 0, patch: Path | None = None, descriptor: int | None = None
    ) -> dict[str, Any]:
        data = struct.pack("<4sIQQ", b"UPCM", op, a, int(DECISION * 1e6))
        if op == STOP:
            self.ballot = Ballot()
            socket.send_fds(self.socket, [data], [self.ballot.descriptor])
            self.ballot.close()
        elif descriptor is not None:
            socket.send_fds(self.socket, [data], [descriptor])
        elif patch is None:
            self.socket.sendall(data)
        else:
            file = os.memfd_create("patch", os.MFD_CLOEXEC)
            os.write(file, patch.read_bytes())
            socket.send_fds(self.socket, [data], [file])
            os.close(file)
        return self.receive()

    def close(self) -> None:
        self.socket.sendall(struct.pack("<4sIQQ", b"UPCM", BYE, 0, 0))
        self.socket.close()

    def update(self, patch: Path, deadline: float = 2.0) -> dict[str, Any]:
        """Load, stop, commit; the last reply."""
        for op, a, file in ((LOAD, 0, patch), (STOP, int(deadline * 1e6), None), (COMMIT, 0, None)):
            reply = self.request(op, a, file)
            if not reply["ok"]:
                return reply
        return reply

    def roll_back(self, deadline: float = 2.0) -> dict[str, Any]:
        """The way back; the last reply."""
        for op, a in ((ROLLBACK_PREPARE, 0), (STOP, int(deadline * 1e6)), (COMMIT, 0)):
            reply = self.request(op, a)
            if not reply["ok"]:
                return reply
        return reply
