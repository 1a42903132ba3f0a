"""Changing which sections an ELF file has, but for those that are loaded.

These come first in a file. It is written anew from the first section on that goes: those that stay move up, the new
ones follow and take the headers of those that went, so that no section gets another number. What is not built in this
way is left to objcopy, which takes its time: it reads and writes everything.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping
from pathlib import Path

from upstare.driver import process
from upstare.driver.mapped import Bytes, mapped
from upstare.errors import UpstareError

_HEADER = struct.Struct("<16sHHIQQQIHHHHHH")
_SECTION = struct.Struct("<IIQQQQIIQQ")
_SEGMENT = struct.Struct("<IIQQQQQQ")

_NAME, _TYPE, _FLAGS, _OFFSET, _SIZE, _LINK, _INFO, _ALIGN = 0, 1, 2, 4, 5, 6, 7, 8  # fields of a section header

_PROGBITS, _RELA, _NOBITS, _REL, _GROUP = 1, 4, 8, 9, 17
_ALLOC, _INFO_LINK = 0x2, 0x40
_RESERVED = 0xFF00  # section numbers from here on mean something else

Row = list[int]


def add_sections(path: Path, sections: Mapping[str, bytes], remove: Iterable[str] = ()) -> None:
    """The file has these sections (not loaded, in place of any of the same name), and those in ``remove`` are gone.

    Raises:
        UpstareError: it cannot be done.
    """
    try:
        data = mapped(path)
        with path.open("r+b") as file:
            changed = _changed(data, sections, {*remove, *sections})
            if changed is None:
                _leave_to_objcopy(path, data, sections, remove)
                return
            begin, tail, header = changed
            file.seek(begin)
            file.writelines(tail)
            file.truncate()
            file.seek(0)
            file.write(header)
    except OSError as error:
        raise UpstareError(f"cannot change the sections of {path}: {error.strerror}") from error


def _changed(data: Bytes, sections: Mapping[str, bytes], remove: set[str]) -> tuple[int, list[bytes], bytes] | None:
    """Where the file is written anew, what is there, and its header; None if it is not of the usual kind."""
    if data[:6] != b"\x7fELF\x02\x01" or len(data) < _HEADER.size:
        return None
    head = list(_HEADER.unpack_from(data))
    segments, table, n_segments, size, count, names = head[5], head[6], head[10], head[11], head[12], head[13]
    if size != _SECTION.size or not names < count < _RESERVED - len(sections) or table + count * size > len(data):
        return None
    rows: list[Row] = [list(_SECTION.unpack_from(data, table + i * size)) for i in range(count)]
    strings = data[rows[names][_OFFSET] : rows[names][_OFFSET] + rows[names][_SIZE]]
    gone = [i for i, row in enumerate(rows) if i and _name(strings, row) in remove]
    begin = min([table, rows[names][_OFFSET], *(rows[i][_OFFSET] for i in gone)])
    loaded = [_SEGMENT.unpack_from(data, segments + i * _SEGMENT.size) for i in range(n_segments)]
    ends = [_HEADER.size, segments + n_segments * _SEGMENT.size, *(segment[2] + segment[5] for segment in loaded)]
    ends += [row[_OFFSET] + row[_SIZE] for row in rows if row[_FLAGS] & _ALLOC and row[_TYPE] != _NOBITS]
    if begin < max(ends) or names in gone or any(_refers(row, gone) for row in rows):
        return None

    tail: list[bytes] = []
    end = begin

    def put(content: bytes, align: int) -> int:
        nonlocal end
        at: int = end + -end % max(align, 1)
        tail.extend((b"\0" * (at - end), content))
        end = at + len(content)
        return at

    stay = [row for i, row in enumerate(rows) if row[_OFFSET] >= begin and row[_TYPE] != _NOBITS and i not in gone]
    for row in sorted(stay, key=lambda row: row[_OFFSET]):
        if row is not rows[names]:
            row[_OFFSET] = put(data[row[_OFFSET] : row[_OFFSET] + row[_SIZE]], row[_ALIGN])
    for i in gone:
        rows[i] = [0] * len(rows[i])
    free = iter(gone)
    for name, content in sections.items():
        number = next(free, None)
        row = [len(strings), _PROGBITS, 0, 0, put(content, 8), len(content), 0, 0, 1, 0]
        strings += name.encode() + b"\0"
        if number is None:
            rows.append(row)
        else:
            rows[number] = row
    rows[names][_OFFSET], rows[names][_SIZE] = put(strings, 1), len(strings)
    head[6] = put(b"".join([_SECTION.pack(*row) for row in rows]), 8)
    head[12] = len(rows)
    return begin, tail, _HEADER.pack(*head)


def _name(strings: bytes, row: Row) -> str:
    return strings[row[_NAME] : strings.find(b"\0", row[_NAME])].decode(errors="surrogateescape")


def _refers(row: Row, gone: list[int]) -> bool:
    """Whether a section cannot be what it is without one of these."""
    linked = row[_FLAGS] & _INFO_LINK or row[_TYPE] in (_RELA, _REL)
    return bool(gone) and (row[_TYPE] == _GROUP or row[_LINK] in gone or bool(linked and row[_INFO] in gone))


def _leave_to_objcopy(path: Path, data: Bytes, sections: Mapping[str, bytes], remove: Iterable[str]) -> None:
    from upstare.driver.elf import Elf

    present = {s.name for s in Elf(data, str(path)).sections}
    gone = [name for name in remove if name in present and name not in sections]
    if not sections and not gone:
        return
    with process.Scratch() as scratch:
        words = ["objcopy"]
        for name in gone:
            words += ["--remove-section", name]
        for number, (name, content) in enumerate(sections.items()):
            file = Path(scratch, str(number))
            file.write_bytes(content)
            words += ["--update-section" if name in present else "--add-section", f"{name}={file}"]
        process.check([*words, str(path)], f"change the sections of {path}")
