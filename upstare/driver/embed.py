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
from upstare.driver.hashing import sha256
from upstare.driver.prepare import Preparation
from upstare.errors import UpstareError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from upstare.driver.args import Command, Token
    from upstare.model.unit import Unit

MAGIC = b"UPSUNIT1"
_RECORD = struct.Struct("<8sI32s")

_NAME = b".upstare.unit"
_ELF = struct.Struct("<16sHHIQQQIHHHHHH")
_SECTION = struct.Struct("<IIQQQQIIQQ")


def compile_sources(command: Command, arguments: Sequence[str], compiler: Sequence[str]) -> int:
    """Compile as the real compiler does, then put the unit of each C source into its object. The exit code is its own.

    Raises:
        UpstareError: the objects were compiled but the units could not be added; the objects are removed.
    """
    lto = ["-fno-lto"] if command.words(LTO) else []
    compilation = process.start([*compiler, *arguments, *lto])
    passes = [(s, start_preprocessor(command, s, compiler)) for s in command.c_sources]
    paths = [os.path.abspath(s.value) for s in command.c_sources]
    flags = command.recompile_flags()
    beside = Preparation(paths, flags, compiler)
    finished = [(s, p, p.wait() if p is not None else 0) for s, p in passes]
    failure: UpstareError | None = None
    texts: list[bytes] = []
    try:
        texts = [source_text(source, child, result) for source, child, result in finished]
    except UpstareError as error:
        failure = error  # if the compiler itself succeeds
    sources = list(zip(paths, texts, strict=failure is None))
    beside.start([(path, text, unit_digest(flags, compiler, text)) for path, text in sources])
    records = [encode(path, flags, compiler, text) for path, text in sources]
    code = compilation.wait()
    if code != 0:
        beside.stop()
        return code
    objects = [command.object_of(source) for source in command.c_sources]
    complete = False
    try:
        if failure is not None:
            raise failure
        for record, target in zip(records, objects, strict=True):
            if os.path.isfile(target):
                add_record(target, record)
        complete = True
    finally:
        if not complete:
            for target in objects:
                process.remove(target)
        beside.wait()
    return 0


def records_of_sources(command: Command, compiler: Sequence[str]) -> list[bytes]:
    """The records of the C sources on the command line of a link."""
    passes = [(s, start_preprocessor(command, s, compiler)) for s in command.c_sources]
    texts = [(s, source_text(s, p, p.wait() if p is not None else 0)) for s, p in passes]
    return [encode(s.value, command.recompile_flags(), compiler, text) for s, text in texts]


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
    payload = pack_text(path, flags, compiler, text)
    return _RECORD.pack(MAGIC, len(payload), _digest(flags, compiler, text)) + payload


def pack_text(path: str, flags: Sequence[str], compiler: Sequence[str], text: bytes) -> bytes:
    """The payload of the record of a unit."""
    strings = [os.path.abspath(path) if path else "", str(len(flags)), *flags, *compiler]
    header = b"".join(os.fsencode(s) + b"\0" for s in strings)
    return zlib.compress(struct.pack("<I", len(header)) + header + text, 1)


def opaque_record() -> bytes:
    """The record that says: this object holds code without a unit, too."""
    return encode("", [], [], b"")


def decode(data: bytes, name: str) -> list[Unit]:
    """The units of a section, in their order; ``name`` is the file that it comes from. Their texts are unpacked when
    they are asked for.

    Raises:
        UpstareError: the records are damaged; that a text is, is found out when it is unpacked.
    """
    from upstare.driver.record import RecordedUnit

    return [RecordedUnit(payload, digest.hex(), name) for digest, payload in _records(data, name)]


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
    """The object at ``target`` holds this record.

    The section and a new table of sections are put behind what the compiler made, which stays where it is: objcopy
    would take a good part of the time of a small compile.

    Raises:
        UpstareError: it cannot be changed.
    """
    try:
        with open(target, "r+b") as file:
            added = _with_section(file.read(), record)
            if added is not None:
                header, tail = added
                file.write(tail)
                file.seek(0)
                file.write(header)
                return
    except OSError as error:
        raise UpstareError(f"cannot put the unit into {target}: {error.strerror}") from error
    words = ["objcopy", "--add-section", ".upstare.unit=/dev/stdin", target]
    process.check(words, f"put the unit into {target}", feed=record)


def _with_section(data: bytes, content: bytes) -> tuple[bytes, bytes] | None:
    """An object with one more section: its new header, and what is put behind it; None if it is not of the
    usual kind."""
    if data[:6] != b"\x7fELF\x02\x01" or len(data) < _ELF.size:
        return None
    *head, sections, flags, size, n_programs, program, entry, count, names = _ELF.unpack_from(data)
    if entry != _SECTION.size or not 0 < count < 0xFF00 or names >= count or sections + count * entry > len(data):
        return None
    table = bytearray(data[sections : sections + count * entry])
    row = list(_SECTION.unpack_from(table, names * entry))
    strings = data[row[4] : row[4] + row[5]] + _NAME + b"\0"
    begin = -(-len(data) // 8) * 8
    tail = b"\0" * (begin - len(data)) + strings
    _SECTION.pack_into(table, names * entry, *row[:4], begin, len(strings), *row[6:])
    at = len(data) + len(tail)
    tail += content
    table += _SECTION.pack(row[5], 1, 0, 0, at, len(content), 0, 0, 1, 0)  # SHT_PROGBITS
    tail += b"\0" * (-(len(data) + len(tail)) % 8)
    header = _ELF.pack(*head, len(data) + len(tail), flags, size, n_programs, program, entry, count + 1, names)
    return header, tail + bytes(table)


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


def unit_digest(flags: Sequence[str], compiler: Sequence[str], text: bytes) -> str:
    """The digest of a unit."""
    return _digest(flags, compiler, text).hex()


def _digest(flags: Sequence[str], compiler: Sequence[str], text: bytes) -> bytes:
    digest = sha256()
    for part in (*flags, "", *compiler, ""):
        digest.update(part.encode(errors="surrogateescape") + b"\0")
    digest.update(text)
    return digest.digest()
