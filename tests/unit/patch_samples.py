"""Version descriptions made by hand, for the tests of the patch maker."""

from __future__ import annotations

import hashlib
from typing import Any

from upstare.model.description import (
    AddressUse,
    Description,
    Field,
    Function,
    Point,
    PointerSource,
    Slot,
    Type,
    UnitInfo,
    Variable,
)
from upstare.release import ABI

_SCALARS = {
    "char": ("int", 1),
    "unsigned char": ("int", 1),
    "short": ("int", 2),
    "int": ("int", 4),
    "unsigned int": ("int", 4),
    "long": ("int", 8),
    "unsigned long": ("int", 8),
    "_Bool": ("bool", 1),
    "float": ("float", 4),
    "double": ("float", 8),
}


def digest(*parts: object) -> str:
    """A stand-in for the hashes of the front end."""
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:12]


class Version:
    """A description that grows: types by key, records by their fields, functions, variables."""

    def __init__(self, name: str) -> None:
        build = hashlib.sha256(name.encode()).hexdigest()
        self.description = Description(1, ABI, build, "prog", name, "trap", "default", [])
        self.description.sources = build
        self.description.units = [UnitInfo("a.c", "/src/a.c", [], ["cc"], build)]

    def type(self, key: str) -> Type:
        """The type of this key; scalars, pointers and arrays are made when asked for."""
        types = self.description.types
        if key in types:
            return types[key]
        if key in _SCALARS:
            kind, size = _SCALARS[key]
            made = Type(key, kind, size, size, digest(key))
        elif key.endswith("*"):
            made = Type(key, "pointer", 8, 8, digest(key), key[:-1].strip())
        elif key.endswith("]"):
            element, _, count = key[:-1].rpartition("[")
            inner = self.type(element)
            total = inner.size * int(count)
            made = Type(key, "array", total, inner.align, digest(inner.hash, count), element, int(count))
        elif key.startswith("enum "):
            made = Type(key, "enum", 4, 4, digest(key), self.type("unsigned int").key)
        else:
            raise KeyError(key)
        types[key] = made
        return made

    def record(self, key: str, typedef: str | None = None, **fields: str) -> Type:
        """A record laid out as C does; a field's type may end in ``:width``."""
        word = key.partition(" ")[0]
        laid: list[Field] = []
        position, align, end = 0, 1, 0
        for name, text in fields.items():
            kind, _, width = text.partition(":")
            inner = self.type(kind)
            unit = inner.align * 8
            if word == "union":
                position = 0
            if not width or position // unit != (position + int(width) - 1) // unit:
                position = -(-position // unit) * unit
            laid.append(Field("" if name.startswith("anonymous") else name, kind, position, int(width or 0)))
            position += int(width) if width else inner.size * 8
            align, end = max(align, inner.align), max(end, position)
        size = -(-end // (align * 8)) * align
        parts = [(f.name, f.offset, f.width, self.type(f.type).hash) for f in laid]
        made = Type(key, word, size, align, digest(key, size, parts), fields=laid, typedef=typedef)
        self.description.types[key] = made
        return made

    def variable(self, name: str, kind: str, line: int = 1, unit: str | None = None, **more: Any) -> Variable:
        """A variable with the symbol that the transform would give it."""
        found = self.type(kind)
        function = more.pop("function", None)
        symbol = "$".join(filter(None, ["up", found.hash, unit, function, name]))
        made = Variable(name, unit, function, symbol, kind, kind, found.size, "a.c", line, **more)
        self.description.variables.append(made)
        return made

    def function(
        self, name: str, points: list[Point] | None = None, slots: list[Slot] | None = None, **more: Any
    ) -> Function:
        """A function; its slots are laid out here."""
        unit = more.pop("unit", "a.c")
        identifier = hashlib.sha256(f"{unit}:{name}".encode()).hexdigest()[:16]
        offset = 0
        for slot in slots or []:
            slot.size = self.type(slot.type).size
            align = 16 if slot.kept else max(self.type(slot.type).align, 1)
            offset = slot.offset = -(-offset // align) * align
            offset += slot.size + (16 if slot.kept else 0)
        for number, point in enumerate(points or [], 1):
            point.number = number
        values: dict[str, Any] = {
            "file": unit,
            "line": 1,
            "static": False,
            "type": "void (void)",
            "returns": "void",
            "body": digest(name, self.description.version),
            "instrumented": bool(points),
            "frame_size": -(-offset // 8) * 8,
        }
        made = Function(identifier, unit, name, **{**values, **more}, slots=slots or [], points=points or [])
        self.description.functions.append(made)
        return made

    def use(self, name: str, how: str, where: str, pointer: str, line: int = 9) -> None:
        """The address of something goes somewhere."""
        self.description.address_uses.append(AddressUse(name, "a.c", line, how, where, pointer))

    def heap(self, record: str, line: int = 8) -> None:
        """Objects of a record may be on the heap."""
        self.description.pointer_sources.append(PointerSource(record, "a.c", line, f"malloc(sizeof({record}))"))


def slot(name: str, kind: str, line: int = 2, **more: Any) -> Slot:
    """A slot; its place comes from the function."""
    return Slot(more.pop("key", name), name, kind, more.pop("type_name", kind), 0, 0, line=line, **more)


def call(callee: str, live: str = "", line: int = 5, path: str = "", **more: Any) -> Point:
    """A point after a call; ``live`` and ``path`` are words."""
    text = more.pop("text", f"{callee}()")
    blocking = more.pop("blocking", False)
    return Point(0, "call", callee, blocking, "a.c", line, path.split(), text, live.split(), **more)


def loop(text: str = "while(1)", live: str = "", line: int = 4, path: str = "") -> Point:
    """A point in a loop."""
    return Point(0, "loop", None, False, "a.c", line, [*path.split(), text], text, live.split())
