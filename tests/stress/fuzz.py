"""Damaged and hostile input for all that reads what others wrote: ``python -m tests.stress.fuzz --seconds 3600``.

``table`` the runtime's readers of tables and ELF files, under the address sanitizer; ``patch`` that of patch files and
version descriptions; ``answers`` the coordinator against agents that say anything; ``requests`` an agent against a
coordinator that asks anything, which must leave the program running and updateable.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import socket
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.runtime.client import Client
from tests.stress.faults import build
from tests.support import tool
from tests.support.process import running
from upstare.coordinator import replies
from upstare.driver.elf import SECTION_DESCRIPTION, read_section
from upstare.driver.runtime import include_flags, runtime_directory
from upstare.errors import UpstareError
from upstare.model.description import unpack
from upstare.patch.file import read_patch, write_patch

HARNESS = Path(__file__).with_name("fuzz.c")
SANITIZE = ("-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-g", "-O1", "-fno-sanitize=alignment")
EDGES: tuple[Any, ...] = (
    0,
    1,
    -1,
    2**31,
    2**63,
    2**64 - 1,
    1.5,
    float("inf"),
    None,
    True,
    "",
    "x" * 70000,
    "\x1b[2J",
    "%n",
    [],
    {},
    [[]],
)


def damaged(rng: random.Random, data: bytes) -> bytes:
    """A copy with bytes changed, cut out, put in or cut off."""
    result = bytearray(data)
    for _ in range(rng.randrange(1, 6)):
        at = rng.randrange(len(result) + 1) if rng.random() < 0.6 else rng.randrange(min(len(result), 80) + 1)
        match rng.randrange(4):
            case 0:
                result[at : at + 1] = rng.randbytes(1)
            case 1:
                del result[at : at + rng.randrange(1, 40)]
            case 2:
                result[at:at] = rng.randbytes(rng.randrange(1, 40))
            case _:
                result[at : at + 8] = struct.pack("<Q", rng.choice((0, 1, 2**31, 2**32 - 1, 2**63, 2**64 - 1)))
    return bytes(result[: rng.randrange(len(result) + 1)] if rng.random() < 0.1 else result)


def fuzz_table(folder: Path, seconds: float, seed: int) -> str:
    """Damaged tables and ELF files, in C."""
    sources = [runtime_directory() / "src" / name for name in _sources("images.c", "elf.c", "proc.c")]
    program = folder / "fuzz"
    words = ["cc", "-std=gnu11", "-D_GNU_SOURCE=", "-w", *SANITIZE, *include_flags(), str(HARNESS), *map(str, sources)]
    subprocess.run([*words, "-o", str(program)], check=True)
    arguments = [str(folder / "old" / "tree"), str(int(seconds)), str(seed)]
    done = subprocess.run([str(program), *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"seed {seed}: exit {done.returncode}\n{done.stderr[-4000:]}"
    return done.stdout.strip()


def _sources(*names: str) -> list[Path]:
    root = runtime_directory() / "src"
    return [path.relative_to(root) for name in names for path in root.rglob(name)]


def fuzz_patch(folder: Path, seconds: float, seed: int) -> str:
    """Damaged patch files (with a digest that fits, half of the time), headers and descriptions."""
    rng = random.Random(seed)
    whole = (folder / "x.upatch").read_bytes()
    patch = read_patch(folder / "x.upatch")
    container = read_section(folder / "old" / "tree", SECTION_DESCRIPTION)
    assert container is not None
    tried = accepted = 0
    target = folder / "fuzzed"
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        tried += 1
        with contextlib.suppress(UpstareError):
            match rng.randrange(3):
                case 0:
                    target.write_bytes(damaged(rng, whole))
                    read_patch(target)
                case 1:
                    header = dict(patch.header)
                    name = rng.choice([*header, "other"])
                    if rng.random() < 0.3:
                        header.pop(name, None)
                    else:
                        header[name] = rng.choice(EDGES)
                    write_patch(target, header, b"image")
                    read_patch(target)
                case _:
                    unpack(damaged(rng, container))
            accepted += 1
    return f"{tried} tried, {accepted} accepted"


def fuzz_answers(folder: Path, seconds: float, seed: int) -> str:
    """Replies with fields that have anything in them."""
    del folder
    rng = random.Random(seed)
    frame = {"function": "f", "point": 1, "line": 2, "phase": "after"}
    sample: dict[str, Any] = {
        "ok": True, "hello": 4, "abi": 6, "pid": 4, "build": "ab" * 32, "program": "p", "version": "1",
        "scheme": "trap", "threads": 1, "history": [{"time": 1, "outcome": "updated", "reason": "", "pause_us": 5}],
        "culprits": [{"tid": 1, "pc": "1f", "caller": "2f"}], "threads_detail": [{"tid": 1, "frames": [frame]}],
        "reason": "because", "kind": "refused", "stop_us": 1, "frames": 1,
    }  # fmt: skip
    tried = accepted = 0
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        tried += 1
        if rng.random() < 0.3:
            data = damaged(rng, json.dumps(sample).encode())
        else:
            changed = json.loads(json.dumps(sample))
            inner = rng.choice([changed, changed["history"][0], changed["culprits"][0], changed["threads_detail"][0]])
            inner[rng.choice([*inner, "other"])] = rng.choice(EDGES)
            data = json.dumps(changed).encode()
        reply = replies.parse(data)
        if reply is None:
            continue
        accepted += 1
        replies.is_greeting(reply)
        for name in ("reason", "program", "version"):
            assert str(reply.get(name, "")).isprintable(), reply
        for culprit in reply.get("culprits", []):
            int(str(culprit.get("caller", "0")), 16)
        for thread in reply.get("threads_detail", []):
            assert all(isinstance(each, dict) for each in thread.get("frames", []))
    return f"{tried} tried, {accepted} accepted"


def fuzz_requests(folder: Path, seconds: float, seed: int) -> str:
    """Requests in any order, with any number and any descriptor, cut off anywhere."""
    rng = random.Random(seed)
    conversations = requests = 0
    patch, program = folder / "x.upatch", folder / "old" / "tree"
    image = folder / "image"
    image.write_bytes(read_patch(patch).payload)
    end = time.monotonic() + seconds
    with running([program]) as child:
        child.expect("worker")
        while time.monotonic() < end:
            conversations += 1
            client = Client(child.pid)
            with contextlib.suppress(OSError, AssertionError):
                for _ in range(rng.randrange(1, 8)):
                    requests += 1
                    _ask(rng, client, image)
            client.socket.close()
            assert child.poll() is None, f"seed {seed}: the program ended in conversation {conversations}"
        # Unmoved: whatever version it is in now, it can be taken to the other.
        code = tool.upstare("rollback", "--pid", child.pid, "--timeout", 20).exit_code
        assert code in (0, 4), code
        tool.expect(tool.apply(patch, child.pid), outcome="updated")
        child.expect(f"{child.pid} new", len(child.lines))
    return f"{conversations} conversations, {requests} requests"


def _ask(rng: random.Random, client: Client, image: Path) -> None:
    operation = rng.choice((1, 2, 2, 3, 3, 4, 5, 6, 7, 8, 9, 10, rng.getrandbits(32)))
    numbers = (rng.choice((0, 1, 50_000, 300_000)), rng.choice((0, 1, 50_000, 300_000)))
    data = struct.pack("<4sIQQ", b"UPCM", operation, *numbers)
    descriptors: list[int] = []
    with contextlib.ExitStack() as stack:
        match rng.randrange(7):
            case 0:
                descriptors = list(os.pipe())
            case 1:
                descriptors = [os.memfd_create("empty")]
            case 2:
                descriptors = [os.open("/dev/zero", os.O_RDONLY)]
            case 3 | 4:
                descriptors = [os.open(image, os.O_RDONLY)]
            case 5:
                descriptors = [_ballot()]
        for descriptor in descriptors:
            stack.callback(os.close, descriptor)
        if rng.random() < 0.1:
            data = rng.randbytes(rng.randrange(1, 60))
        if rng.random() < 0.1:
            data = data[: rng.randrange(1, len(data) + 1)]
        client.socket.settimeout(0.5)
        socket.send_fds(client.socket, [data], descriptors)
        if rng.random() < 0.9:
            client.receive()


def _ballot() -> int:
    import fcntl

    descriptor = os.memfd_create("ballot", os.MFD_ALLOW_SEALING)
    os.ftruncate(descriptor, 4096)
    fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK)
    return descriptor


TARGETS: dict[str, Callable[[Path, float, int], str]] = {
    "table": fuzz_table,
    "patch": fuzz_patch,
    "answers": fuzz_answers,
    "requests": fuzz_requests,
}


def main() -> int:
    """Each target for its share of the time."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=3600.0)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        build(Path(directory))
        for name, target in TARGETS.items():
            print(f"{name}: {target(Path(directory), options.seconds / len(TARGETS), options.seed)}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
