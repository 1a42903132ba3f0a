"""Where pointers go in a function: out of which variable, call or type into which, whatever casts are on the way.

What is read here says nothing about order or conditions. It is enough to see that the memory behind one pointer is that
behind another: that a struct lies in a shared segment, or is what is written to a socket. Ends are named as
:class:`~upstare.model.facts.Flow` says.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from clang.cindex import TypeKind

from upstare.frontend.functions import FunctionTree, parameter_types
from upstare.frontend.nodes import Node, Parsed, callee_name
from upstare.frontend.types import TypeTable, is_array
from upstare.model.facts import RECEIVED, SENT, Flow

_PASSING = frozenset(("binary", "var", "cast", "return", "list", "call"))  # the nodes that make a flow
_PRIVATE = 2  # MAP_PRIVATE; MAP_SHARED is 1, MAP_SHARED_VALIDATE both
_FLAGS = 3  # the argument of mmap that says so


def flows(parsed: Parsed, trees: Iterable[FunctionTree], types: TypeTable) -> list[Flow]:
    """The flows in the functions of a unit, each once."""
    reader = _Reader(parsed, types)
    for tree in trees:
        reader.read(tree)
    return list(reader.found.values())


class _Reader:
    def __init__(self, parsed: Parsed, types: TypeTable) -> None:
        self.found: dict[tuple[str, str], Flow] = {}
        self._parsed = parsed
        self._types = types
        self._records: dict[Any, str | None] = {}  # what is known of types: the record behind a pointer
        self._users: dict[str, bool] = {}  # functions: whether it matters what they are given

    def read(self, tree: FunctionTree) -> None:
        """Add the flows of a function."""
        self._tree = tree
        self._parameters = [a.location.offset for a in tree.cursor.get_arguments()]
        for node in tree.body.evaluated():
            if node.kind not in _PASSING:
                continue
            for target, value in self.targets(node):
                for source, at in self.sources(value):
                    if source != target and (source, target) not in self.found:
                        place = self._parsed.source.locate((at if source.startswith("m:") else node).start)
                        self.found[source, target] = Flow(source, target, *place)

    def targets(self, node: Node) -> Iterator[tuple[str, Node]]:
        """What receives a pointer in this node itself, and the expression that it receives."""
        if node.kind == "binary" and node.op == "=":
            yield from self._assigned(self._place(node.children[0]), node.children[0].type, node.children[-1])
        elif node.kind == "var" and (initial := node.parts.get("init")) is not None:
            if initial.kind == "list":
                return
            yield from self._assigned(self._local(node.target), node.type, initial)
        elif node.kind == "cast" and node.children:
            yield from self._converted(node.type, node.children[-1])
        elif node.kind == "return" and node.children:
            yield from self._assigned(f"r:{self._tree.name}", self._tree.cursor.result_type, node.children[0])
        elif node.kind == "list" and node.children and _record_name(node.type) == "struct iovec":
            yield "f:struct iovec.iov_base", node.children[0]
        elif node.kind == "call":
            yield from self._arguments(node)

    def _arguments(self, call: Node) -> Iterator[tuple[str, Node]]:
        name = callee_name(call)
        if name is None:
            return
        parameters = parameter_types(call)
        for number, argument in enumerate(call.children[1:]):
            if self._is_users(name):
                yield f"p:{name}:{number}", argument
            if number < len(parameters):
                yield from self._converted(parameters[number], argument)

    def _is_users(self, name: str) -> bool:
        """Whether a function is the user's, or one that sends or receives."""
        known = self._users.get(name)
        if known is None:
            declared = self._parsed.declarations(name)
            ours = not declared or not self._parsed.source.is_system(declared[-1].location.offset)
            known = self._users[name] = ours or name in SENT or name in RECEIVED
        return known

    def _assigned(self, place: str | None, ctype: Any, value: Node) -> Iterator[tuple[str, Node]]:
        if place is not None and _is_pointer(ctype):
            yield place, value
        yield from self._converted(ctype, value)

    def _converted(self, ctype: Any, value: Node) -> Iterator[tuple[str, Node]]:
        """The type itself, if the value is no pointer to it before."""
        record = self._record(ctype)
        if record is not None and self._record(value.type) != record:
            yield record, value

    def sources(self, value: Node) -> Iterator[tuple[str, Node]]:
        """What the pointer that an expression is comes from, and where that is written."""
        while value.kind in ("paren", "cast") and value.children:
            if (record := self._record(value.type)) is not None:
                yield record, value
            value = value.children[-1]
        if not (_is_pointer(value.type) or is_array(value.type)):
            return
        if (record := self._record(value.type)) is not None:
            yield record, value
        if value.kind in ("cond", "elvis"):
            for child in value.children[-2:]:
                yield from self.sources(child)
        elif value.kind == "binary" and value.op in ("+", "-"):
            for child in value.children:
                yield from self.sources(child)
        elif value.kind == "binary" and value.op in (",", "=", "+=", "-="):
            yield from self.sources(value.children[-1] if value.op in (",", "=") else value.children[0])
        elif value.kind == "unary" and value.op == "&":
            if (place := self._place(_object(value.children[0]))) is not None:
                yield place, value
        elif value.kind == "call":
            if (name := callee_name(value)) is not None and not _maps_for_itself(name, value):
                yield (f"m:{name}" if name in ("mmap", "mmap64", "shmat") else f"r:{name}"), value
        elif (place := self._place(value)) is not None:
            yield place, value

    def _record(self, ctype: Any) -> str | None:
        """The struct or union that a pointer or array leads to."""
        if ctype not in self._records:
            record = _pointee(ctype)
            self._records[ctype] = None if record is None else f"t:{self._types.key(record)}"
        return self._records[ctype]

    def _place(self, node: Node) -> str | None:
        """The name of a variable or member, if the expression is one."""
        while node.kind == "paren" and node.children:
            node = node.children[0]
        if node.kind == "ref" and node.target_kind == "global":
            return f"g:{node.name}"
        if node.kind == "ref" and node.target_kind in ("local", "static"):
            return self._local(node.target)
        if node.kind == "member" and node.children and node.name:
            owner = node.children[0].type.get_canonical()
            if owner.kind == TypeKind.POINTER:
                owner = owner.get_pointee().get_canonical()
            if owner.kind == TypeKind.RECORD:
                return f"f:{self._types.name(owner)}.{node.name}"
        return None

    def _local(self, target: int) -> str | None:
        if target in self._parameters:
            return f"p:{self._tree.name}:{self._parameters.index(target)}"
        local = self._tree.locals.get(target)
        return f"l:{self._tree.name}:{local.key}" if local is not None else None


def _object(node: Node) -> Node:
    """The whole array of an element."""
    while node.kind in ("paren", "index") and node.children:
        node = node.children[0]
    return node


def _maps_for_itself(name: str, call: Node) -> bool:
    """Whether a call is an mmap that surely is not shared."""
    if not name.startswith("mmap") or len(call.children) < _FLAGS + 2:
        return False
    flags = _constant(call.children[1 + _FLAGS])
    return flags is not None and flags & 3 == _PRIVATE


def _constant(node: Node) -> int | None:
    """The value of numbers that are or-ed together."""
    while node.kind in ("paren", "cast") and node.children:
        node = node.children[-1]
    if node.kind == "binary" and node.op == "|":
        left, right = (_constant(child) for child in node.children)
        return None if left is None or right is None else left | right
    if node.kind != "number":
        return None
    digits = node.name.rstrip("uUlL")
    try:
        return int(digits, 8 if digits.startswith("0") and digits.isdecimal() else 0)
    except ValueError:
        return None


def _is_pointer(ctype: Any) -> bool:
    return bool(ctype.get_canonical().kind == TypeKind.POINTER)


def _pointee(ctype: Any) -> Any:
    ctype = ctype.get_canonical()
    if ctype.kind == TypeKind.POINTER:
        ctype = ctype.get_pointee().get_canonical()
    elif not is_array(ctype):
        return None
    while is_array(ctype):
        ctype = ctype.element_type.get_canonical()
    return ctype if ctype.kind == TypeKind.RECORD else None


def _record_name(ctype: Any) -> str:
    ctype = ctype.get_canonical()
    return str(ctype.spelling) if ctype.kind == TypeKind.RECORD else ""
