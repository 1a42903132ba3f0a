"""The patch file: one header, one shared object, one digest over both.

Layout (all numbers little endian)::

    b"UPSTARE-PATCH 1\\n"     16 bytes
    u32 header length, u64 payload length
    32 bytes                 SHA-256 over header and payload
    header                   zstd(JSON object)
    payload                  the new image: an ELF shared object that exports ``upstare_patch``; then, if the old
                             version has no resume clones, its twin: another one

The header says what a coordinator must know before anything reaches a process: the builds that the patch leads from and
to, the ABI, and the report of the patch maker.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import struct
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import zstandard

from upstare.errors import UpstareError
from upstare.model.packed import inflate
from upstare.patch.signature import verify
from upstare.release import ABI

MAGIC = b"UPSTARE-PATCH 1\n"

_HEADER = {"from_build": str, "to_build": str, "program": str, "abi": int, "report": dict, "twin_size": int}
_HEADER_MOST = 1 << 28  # bytes

_LENGTHS = struct.Struct("<IQ")
_PREFIX = len(MAGIC) + _LENGTHS.size + hashlib.sha256().digest_size


@dataclass(frozen=True)
class PatchFile:
    """A patch that was read and found whole.

    Attributes:
        header: ``from_build``, ``to_build`` (64 hex digits), ``program``, ``from_version``, ``to_version``, ``abi``,
            ``scheme`` and ``report`` (the JSON form of the patch maker's report).
        payload: the bytes of the shared object.
        twin: those of the old version's twin; empty if the old version has resume clones.
    """

    header: dict[str, Any]
    payload: bytes
    twin: bytes = b""


def write_patch(path: Path, header: dict[str, Any], payload: bytes, twin: bytes = b"") -> int:
    """``path`` holds the whole patch, or what it held before. Returns its size in bytes."""
    header = {"twin_size": len(twin), **header}
    payload += twin
    packed = zstandard.ZstdCompressor(level=9).compress(json.dumps(header, sort_keys=True).encode())
    digest = hashlib.sha256(packed + payload).digest()
    content = b"".join([MAGIC, _LENGTHS.pack(len(packed), len(payload)), digest, packed, payload])
    try:
        handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        try:
            with os.fdopen(handle, "wb") as out:
                out.write(content)
                os.fchmod(out.fileno(), 0o644)
            os.replace(temporary, path)
        except BaseException:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(temporary)
            raise
    except OSError as error:
        raise UpstareError(f"cannot write {path}: {error.strerror or error}") from error
    return len(content)


def read_patch(path: Path) -> PatchFile:
    """The patch in ``path``, verified.

    Raises:
        UpstareError: there is no such file, it is no patch, it was cut short or altered, or it is of another ABI.
        NotUpdatable: it is not signed as this machine demands.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UpstareError(f"cannot read {path}: {error.strerror or error}") from error
    verify(path, content)
    if content[: len(MAGIC)] != MAGIC[: len(content)] or not content:
        raise UpstareError(f"{path} is not an UpStare patch", hint="`upstare patch OLD NEW -o FILE` makes one")
    if len(content) < _PREFIX:
        raise UpstareError(f"{path} was cut short: {len(content)} bytes are left of it")
    header_length, payload_length = _LENGTHS.unpack_from(content, len(MAGIC))
    expected = _PREFIX + header_length + payload_length
    if len(content) < expected:
        raise UpstareError(f"{path} was cut short: {len(content)} of {expected} bytes are left")
    digest = content[len(MAGIC) + _LENGTHS.size : _PREFIX]
    if len(content) > expected or hashlib.sha256(content[_PREFIX:]).digest() != digest:
        raise UpstareError(f"{path} was altered: its digest does not fit its content")
    packed = content[_PREFIX : _PREFIX + header_length]
    try:
        header = json.loads(inflate(packed, _HEADER_MOST))
        if not isinstance(header, dict):
            raise ValueError("its header is no object")
        abi = header["abi"]
    except (ValueError, KeyError, RecursionError, MemoryError) as error:
        raise UpstareError(f"{path} is damaged: {error}") from error
    if abi != ABI:
        raise UpstareError(
            f"{path} was made for ABI {abi} of UpStare; this one speaks ABI {ABI}",
            hint="make the patch again with this release, from executables that this release built",
        )
    for name, kind in _HEADER.items():
        if not isinstance(header.get(name), kind):
            raise UpstareError(f"{path} is damaged: its header has no {name}")
    begin = expected - header["twin_size"]
    if not _PREFIX + header_length <= begin <= expected:
        raise UpstareError(f"{path} is damaged: its twin has no place in it")
    return PatchFile(header, content[_PREFIX + header_length : begin], content[begin:])
