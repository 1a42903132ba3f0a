"""Units in objects: the preprocessed text of a source, with what it takes to compile it again.

An object holds its unit as a record in the section ``.upstare.unit``, which is not loaded. Linkers concatenate the
sections of the objects that they take, so a linked file lists exactly the units that it is made of. A record is::

    b"UPSUNIT1"  u32 length of the payload  32 bytes SHA-256 (the unit's digest)  payload

where the payload is, compressed: u32 length of the header; the header, strings that each end in a NUL: path, number of
flags, flags, compiler; the text. A record with no flags, path and text says that the object (made by ``ld -r``) also
holds code without a unit.

This module runs once for every file of a program; what is slow to import (json, zstandard, tempfile) stays out.
"""

from __future__ import annotations

import os
import struct
import zlib

from upstare.driver import process
from upstare.driver.args import C_PREPROCESSED, LTO
from upstare.errors import UpstareError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from upstare.driver.args import Command, Token
    from upstare.model.unit import Unit

MAGIC = b"UPSUNIT1"
_RECORD = struct.Struct("<8sI32s")


def compile_sources(command: Command, arguments: Sequence[str], compiler: Sequence[str]) -> int:
    """Compile as the real compiler does, then put the unit of each C source into its object. The exit code is its own.

    Raises:
        UpstareError: the objects were compiled but the units could not be added; the objects are removed.
    """
    lto = ["-fno-lto"] if command.words(LTO) else []
    compilation = process.start([*compiler, *arguments, *lto])
    passes = [(s, start_preprocessor(command, s, compiler)) for s in command.c_sources]
    code = compilation.wait()
    finished = [(s, p, p.wait() if p is not None else 0) for s, p in passes]
    if code != 0:
        return code
    objects = [command.object_of(source) for source in command.c_sources]
    complete = False
    try:
        for (source, child, result), target in zip(finished, objects, strict=True):
            if os.path.isfile(target):
                text = source_text(source, child, result)
                add_record(target, encode(source.value, command.recompile_flags(), compiler, text))
        complete = True
    finally:
        if not complete:
            for target in objects:
                process.remove(target)
    return 0


def start_preprocessor(command: Command, source: Token, compiler: Sequence[str]) -> process.Child | None:
    """The preprocessor at work on a source; None if there is nothing to preprocess."""
    if source.language == C_PREPROCESSED:
        return None
    env = {k: v for k, v in os.environ.items() if k not in ("DEPENDENCIES_OUTPUT", "SUNPRO_DEPENDENCIES")}
    return process.start([*compiler, *command.preprocess(source)], capture=True, capture_errors=True, env=env)


def source_text(source: Token, child: process.Child | None, code: int) -> bytes:
    """The preprocessed text of a source, of which ``child`` was the preprocessor and ``code`` its exit code."""
    if child is not None:
        return process.finish(child, code, f"preprocess {source.value} a second time")
    try:
        with open(source.value, "rb") as file:
            return file.read()
    except OSError as error:
        raise UpstareError(f"cannot read {source.value}: {error.strerror}") from error


def encode(path: str, flags: Sequence[str], compiler: Sequence[str], text: bytes) -> bytes:
    """The record of a unit."""
    strings = [os.path.abspath(path) if path else "", str(len(flags)), *flags, *compiler]
    header = b"".join(os.fsencode(s) + b"\0" for s in strings)
    payload = zlib.compress(struct.pack("<I", len(header)) + header + text, 1)
    return _RECORD.pack(MAGIC, len(payload), _digest(flags, compiler, text)) + payload


def opaque_record() -> bytes:
    """The record that says: this object holds code without a unit, too."""
    return encode("", [], [], b"")


def decode(data: bytes, name: str) -> list[Unit]:
    """The units of a section, in their order; ``name`` is the file that it comes from.

    Raises:
        UpstareError: the records are damaged.
    """
    from upstare.model.unit import Unit

    units: list[Unit] = []
    for digest, payload in _records(data, name):
        try:
            content = zlib.decompress(payload)
            (length,) = struct.unpack_from("<I", content)
            path, count, *words = [os.fsdecode(s) for s in content[4 : 4 + length].split(b"\0")[:-1]]
            flags, compiler = tuple(words[: int(count)]), tuple(words[int(count) :])
        except (zlib.error, struct.error, ValueError) as error:
            raise UpstareError(f"the units in {name} are damaged: {error}") from error
        text = content[4 + length :]
        if _digest(flags, compiler, text) != digest:
            raise UpstareError(f"the units in {name} are damaged: the text of {path} is not what was compiled")
        units.append(Unit(path=path, text=text, flags=flags, compiler=compiler, digest=digest.hex()))
    return units


def digests(data: bytes, name: str) -> list[str]:
    """The digests of the units of a section, without unpacking them. Raises like :func:`decode`."""
    return [digest.hex() for digest, _ in _records(data, name)]


def make_unit(path: str, flags: tuple[str, ...], compiler: Sequence[str], text: bytes) -> Unit:
    """The unit as :func:`decode` would give it."""
    from upstare.model.unit import Unit

    digest = _digest(flags, compiler, text).hex()
    return Unit(path=os.path.abspath(path), text=text, flags=flags, compiler=tuple(compiler), digest=digest)


def opaque_digest() -> str:
    """The digest of :func:`opaque_record`; no unit has it, since the flags of a unit are never empty."""
    return _digest([], [], b"").hex()


def add_record(target: str, record: bytes) -> None:
    """The object at ``target`` holds this record."""
    words = ["objcopy", "--add-section", ".upstare.unit=/dev/stdin", target]
    process.check(words, f"put the unit into {target}", feed=record)


def _records(data: bytes, name: str) -> list[tuple[bytes, bytes]]:
    records: list[tuple[bytes, bytes]] = []
    offset = 0
    while offset < len(data):
        if data[offset] == 0:  # padding between the sections of two objects
            offset += 1
            continue
        if len(data) - offset < _RECORD.size:
            raise UpstareError(f"the units in {name} are damaged: a record is cut short")
        magic, length, digest = _RECORD.unpack_from(data, offset)
        offset += _RECORD.size
        if magic != MAGIC or offset + length > len(data):
            raise UpstareError(f"the units in {name} are damaged or of another UpStare release")
        records.append((digest, data[offset : offset + length]))
        offset += length
    return records


def _digest(flags: Sequence[str], compiler: Sequence[str], text: bytes) -> bytes:
    import hashlib

    digest = hashlib.sha256()
    for part in (*flags, "", *compiler, ""):
        digest.update(part.encode(errors="surrogateescape") + b"\0")
    digest.update(text)
    return digest.digest()
