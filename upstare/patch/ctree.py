"""C as trees: short names for the pycparser nodes that generated code is made of, and types as declarations.

:class:`TypeWriter` turns the types of two version descriptions into definitions for one file. A record that is the same
in both keeps its tag; one that is not is called ``old_`` in the old version. Every record is laid out exactly as in its
version: as plain C where C's own rules give that layout, else packed with explicit padding.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from pycparser import c_ast, c_generator

from upstare.model.description import Field, Type
from upstare.patch.relate import Kind, Relations, normal

Node = Any  # pycparser has no type hints
Make = Callable[[str], Node]

OLD, NEW = "old", "new"


def text_of(node: Node) -> str:
    """A node as C."""
    return str(c_generator.CGenerator().visit(node))


def ident(name: str) -> Node:
    """A name, or any text to be printed as an expression."""
    return c_ast.ID(name)


def number(value: int) -> Node:
    """An integer constant."""
    return c_ast.Constant("int", str(value))


def string(value: str) -> Node:
    """A string literal."""
    escaped = "".join(c if " " <= c <= "~" and c not in '"\\?' else f"\\{ord(c):03o}" for c in value)
    return c_ast.Constant("string", f'"{escaped}"')


def arrow(pointer: str, name: str) -> Node:
    """``pointer->name``."""
    return c_ast.StructRef(ident(pointer), "->", ident(name))


def dot(value: Node, name: str) -> Node:
    """``value.name``."""
    return c_ast.StructRef(value, ".", ident(name))


def index(array: Node, subscript: str) -> Node:
    """``array[subscript]``."""
    return c_ast.ArrayRef(array, ident(subscript))


def deref(pointer: Node) -> Node:
    """``*pointer``."""
    return c_ast.UnaryOp("*", pointer)


def address(value: Node) -> Node:
    """``&value``, or the pointer itself if the value is one behind a pointer."""
    if isinstance(value, c_ast.UnaryOp) and value.op == "*":
        return value.expr
    return c_ast.UnaryOp("&", value)


def call(function: str, *arguments: Node) -> Node:
    """``function(arguments)``."""
    return c_ast.FuncCall(ident(function), c_ast.ExprList(list(arguments)))


def assign(target: Node, value: Node) -> Node:
    """``target = value``."""
    return c_ast.Assignment("=", target, value)


def size_of(value: Node) -> Node:
    """``sizeof value``."""
    return c_ast.UnaryOp("sizeof", value)


def cast(make: Make, value: Node) -> Node:
    """``(type) value``."""
    return c_ast.Cast(typename(make), value)


def typename(make: Make) -> Node:
    """An abstract type."""
    return c_ast.Typename(None, [], None, make(""))


def declare(name: str, make: Make, init: Node = None, bits: int = 0, storage: Iterable[str] = ()) -> Node:
    """A declaration of ``name``."""
    width = number(bits) if bits else None
    return c_ast.Decl(name or None, [], [], list(storage), [], make(name), init, width)


def base(*words: str) -> Make:
    """A type of plain words: ``unsigned char``."""
    return lambda name: c_ast.TypeDecl(name or None, [], None, c_ast.IdentifierType(list(words)))


def record(word: str, tag: str) -> Make:
    """``struct tag`` or ``union tag``."""
    node = c_ast.Struct if word == "struct" else c_ast.Union
    return lambda name: c_ast.TypeDecl(name or None, [], None, node(tag, None))


def constant(make: Make) -> Make:
    """The const-qualified type."""

    def made(name: str) -> Node:
        node = make(name)
        inner = node
        while isinstance(inner, c_ast.ArrayDecl):
            inner = inner.type
        (inner.quals if isinstance(inner, c_ast.TypeDecl | c_ast.PtrDecl) else []).append("const")
        return node

    return made


def pointer(make: Make) -> Make:
    """A pointer to the type."""
    return lambda name: c_ast.PtrDecl([], make(name))


def array(make: Make, count: int) -> Make:
    """An array of ``count`` elements."""
    return lambda name: c_ast.ArrayDecl(make(name), number(count), [])


def code_pointer(name: str) -> Node:
    """``void (*name)(void)``."""
    nothing = c_ast.ParamList([c_ast.Typename(None, [], None, base("void")(""))])
    return c_ast.PtrDecl([], c_ast.FuncDecl(nothing, base("void")(name)))


def compound(statements: list[Node]) -> Node:
    """A block."""
    return c_ast.Compound(statements)


def loop(counter: str, begin: int, end: int, body: list[Node]) -> Node:
    """``for (unsigned long counter = begin; counter < end; counter++)``."""
    start = c_ast.DeclList([declare(counter, base("unsigned", "long"), number(begin))])
    condition = c_ast.BinaryOp("<", ident(counter), number(end))
    return c_ast.For(start, condition, c_ast.UnaryOp("p++", ident(counter)), compound(body))


def unless_zero(value: Node, body: list[Node]) -> Node:
    """``if (value != 0) { body }``."""
    return c_ast.If(c_ast.BinaryOp("!=", value, number(0)), compound(body), None)


def give_back(value: int) -> Node:
    """``return value;``."""
    return c_ast.Return(number(value))


def static_assert(left: Node, right: int, message: str) -> Node:
    """``_Static_assert(left == right, message);``."""
    return c_ast.StaticAssert(c_ast.BinaryOp("==", left, number(right)), string(message))


def offset_of(make: Make, member: str) -> Node:
    """``__builtin_offsetof(type, member)``."""
    return c_ast.FuncCall(ident("__builtin_offsetof"), c_ast.ExprList([typename(make), ident(member)]))


@dataclass
class Names:
    """Hands out C identifiers, each once."""

    taken: set[str] = field(default_factory=set)

    def take(self, wish: str) -> str:
        """``wish`` made an identifier that nobody else has."""
        name = re.sub(r"\W+", "_", wish).strip("_") or "x"
        if name[0].isdigit():
            name = f"_{name}"
        result, count = name, 1
        while result in self.taken:
            count += 1
            result = f"{name}_{count}"
        self.taken.add(result)
        return result


class TypeWriter:
    """The types of both versions as C. Definitions come in an order that C accepts."""

    def __init__(self, relations: Relations, types: dict[str, dict[str, Type]]) -> None:
        """``types``: those of the versions OLD and NEW."""
        self.definitions: list[str] = []
        self._relations = relations
        self._types = types
        self._names = Names({"upstare_context", "upstare_patch"})
        self._tags: dict[tuple[str, str], str] = {}
        self._defined: set[tuple[str, str]] = set()
        self._partner = {
            old: new
            for old, new in ((t.key, relations.new_type(relations.renamed(t.key))) for t in types[OLD].values())
            if new is not None and new.kind in ("struct", "union")
        }

    def make(self, side: str, key: str, *, by_value: bool = True) -> Make:
        """The type ``key`` of version ``side`` as a maker of declarators, everything that it needs being defined."""
        found = self._types[side].get(key) or self._types[side].get(normal(key))
        if found is None:
            return self._pointer(side, normal(key)[:-1].strip()) if normal(key).endswith("*") else self._unknown(key)
        kind = found.kind
        if kind in ("int", "float", "bool"):
            return base(*normal(found.key).split())
        if kind == "enum":
            return self.make(side, found.target) if found.target else base("int")
        if kind == "pointer":
            return self._pointer(side, found.target or "void")
        if kind == "array" and found.target:
            return array(self.make(side, found.target, by_value=by_value), found.count)
        if kind in ("struct", "union"):
            side, found = self._canonical(side, found)
            if by_value and found.complete:
                self._define(side, found)
            return record(kind, self.tag(side, found))
        return base("void") if kind in ("void", "function") and not by_value else self._bytes(found)

    def tag(self, side: str, found: Type) -> str:
        """The tag of a record in the generated file."""
        side, found = self._canonical(side, found)
        known = self._tags.get((side, found.key))
        if known is None:
            plain = found.key.partition(" ")[2].strip("<>")
            known = self._tags[side, found.key] = self._names.take(f"old_{plain}" if side == OLD else plain)
        return known

    def name_record(self, side: str, key: str) -> None:
        """The record is called as its key says, in either version."""
        self._tags[side, key] = self._names.take(key.partition(" ")[2])

    def member_names(self, found: Type) -> list[str]:
        """What the fields of a record are called in C: those without a name get one, padding keeps none."""
        names = Names({f.name for f in found.fields if f.name})
        return [f.name or ("" if f.width else names.take("anonymous")) for f in found.fields]

    def member(self, found: Type, wanted: Field) -> str:
        """What one field is called in C."""
        return next(n for f, n in zip(found.fields, self.member_names(found), strict=True) if f is wanted)

    def _canonical(self, side: str, found: Type) -> tuple[str, Type]:
        """The new version's record where both versions have the same."""
        if side == OLD:
            partner = self._partner.get(found.key)
            if partner is not None and self._relations.of(found.key, partner.key).kind is Kind.SAME:
                return NEW, partner
        return side, found

    def _unknown(self, key: str) -> Make:
        """A type that the description only names: a record behind a pointer, or something that C has."""
        word, _, plain = normal(key).partition(" ")
        if word in ("struct", "union"):
            found = Type(key, word, 0, 1, "", complete=False)
            return record(word, self.tag(NEW, found))
        if plain and word == "enum":
            return base("int")
        return base("void")

    def _pointer(self, side: str, target: str) -> Make:
        found = self._types[side].get(target) or self._types[side].get(normal(target))
        key = found.key if found else normal(target)
        if (found and found.kind == "function") or key.endswith(")"):
            return code_pointer
        if found and found.kind == "array" and found.target and found.count:
            return pointer(self.make(side, target, by_value=True))
        if key.endswith("*") and found is None:
            return pointer(self._pointer(side, key.removesuffix("*").strip()))
        if found is None and not key.startswith(("struct ", "union ", "enum ")):
            known = re.fullmatch(r"(?:(?:unsigned|signed|short|long|int|char|double|float|_Bool|__int128) ?)+", key)
            return pointer(base(*key.split()) if known else base("void"))
        return pointer(self.make(side, target, by_value=False))

    def _bytes(self, found: Type) -> Make:
        """Something by value that is only ever copied: bytes of the right size and alignment."""
        tag = f"upstare_bytes_{found.size}_{found.align}"
        if tag not in self._names.taken:
            self._names.taken.add(tag)
            self.definitions.append(
                f"struct {tag}\n{{\n  unsigned char bytes[{found.size}];\n}} __attribute__((aligned({found.align})));\n"
            )
        return record("struct", tag)

    def _define(self, side: str, found: Type) -> None:
        if (side, found.key) in self._defined:
            return
        self._defined.add((side, found.key))
        names = self.member_names(found)
        makes = [self.make(side, f.type) for f in found.fields]
        tag = self.tag(side, found)
        this = record(found.kind, tag)
        plain = self._is_plain(side, found)
        lines = [f"{found.kind} {tag}", "{"]
        position, pads = 0, Names(set(names))
        for member, name, make in zip(found.fields, names, makes, strict=True):
            if not plain and found.kind == "struct" and member.offset > position:
                lines += _padding(position, member.offset, pads)
            lines.append(f"  {text_of(declare(name, make, bits=member.width))};")
            position = member.offset + (member.width or self._size(side, member.type) * 8)
        if plain:
            lines.append("};")
        else:
            if found.kind == "struct" and position < found.size * 8:
                lines += _padding(position, found.size * 8, pads)
            lines.append(f"}} __attribute__((packed, aligned({found.align})));")
        lines.append(f"{text_of(static_assert(size_of(typename(this)), found.size, f'size of {found.key}'))};")
        for member, name in zip(found.fields, names, strict=True):
            if name and not member.width:
                where = static_assert(offset_of(this, name), member.offset // 8, f"offset of {name}")
                lines.append(f"{text_of(where)};")
        if found.typedef and found.typedef.isidentifier():
            lines.append(f"typedef {found.kind} {tag} {'old_' if side == OLD else ''}{found.typedef};")
        self.definitions.append("\n".join(lines) + "\n")

    def _size(self, side: str, key: str) -> int:
        found = self._types[side].get(key) or self._types[side].get(normal(key))
        return found.size if found else 0

    def _align(self, side: str, key: str) -> int:
        found = self._types[side].get(key) or self._types[side].get(normal(key))
        if found is None:
            return 1
        if found.kind == "array" and found.target:
            return self._align(side, found.target)
        return found.align

    def _is_plain(self, side: str, found: Type) -> bool:
        """Whether the rules of the x86-64 ABI give this layout to a plain definition."""
        position, alignment, end = 0, 1, 0
        for member in found.fields:
            size, align = self._size(side, member.type), self._align(side, member.type)
            if found.kind == "union":
                position = 0
            if member.width:
                unit = size * 8
                if unit and position // unit != (position + member.width - 1) // unit:
                    position = -(-position // (align * 8)) * align * 8
                if member.name:
                    alignment = max(alignment, align)
            else:
                position = -(-position // (align * 8)) * align * 8
                alignment = max(alignment, align)
            if position != member.offset:
                return False
            position += member.width or size * 8
            end = max(end, position)
        return found.align == alignment and found.size == -(-end // (alignment * 8)) * alignment


def _padding(begin: int, end: int, names: Names) -> list[str]:
    """Members that fill the bits from ``begin`` to ``end``."""
    lines = []
    if bits := -begin % 8:
        lines.append(f"  unsigned char : {min(bits, end - begin)};")
        begin += min(bits, end - begin)
    if count := (end - begin) // 8:
        lines.append(f"  unsigned char {names.take('padding')}[{count}];")
        begin += count * 8
    if end > begin:
        lines.append(f"  unsigned char : {end - begin};")
    return lines
