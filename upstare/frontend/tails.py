"""Tail calls: calls after which a function only returns what they gave.

The compiler makes them jumps, or calls with nothing but an epilogue behind, so they leave no frame and need no point:
what the callee's frame returns when it is resumed is what the caller's caller waits for. This holds only if the
function keeps no memory on its stack that the callee could see, and if nothing happens to the value on its way.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from clang.cindex import CursorKind, TypeKind

from upstare.frontend.nodes import Node
from upstare.frontend.types import is_variable_array

if TYPE_CHECKING:
    from upstare.frontend.functions import FunctionTree

_PLAIN = {
    TypeKind.BOOL, TypeKind.CHAR_U, TypeKind.UCHAR, TypeKind.USHORT, TypeKind.UINT, TypeKind.ULONG,
    TypeKind.ULONGLONG, TypeKind.CHAR_S, TypeKind.SCHAR, TypeKind.SHORT, TypeKind.INT, TypeKind.LONG,
    TypeKind.LONGLONG, TypeKind.POINTER, TypeKind.ENUM, TypeKind.WCHAR, TypeKind.FLOAT, TypeKind.DOUBLE,
}  # fmt: skip
_KEEPS_FRAME = {  # calls that tie a function to its frame
    "alloca", "__builtin_alloca", "__builtin_alloca_with_align", "setjmp", "_setjmp", "sigsetjmp", "__sigsetjmp",
    "__sigsetjmp_cancel", "__builtin_setjmp", "vfork", "getcontext", "__builtin_apply", "__builtin_frame_address",
    "__builtin_return_address", "__builtin_va_start", "va_start",
}  # fmt: skip
# libclang's own question needs its library a second time, and all of its functions.
_ATTRIBUTES = range(CursorKind.UNEXPOSED_ATTR.value, CursorKind.PREPROCESSING_DIRECTIVE.value)


Follow = int | None  # offset of the local that is returned next, or one of:
_MORE, _END = None, -1  # something else comes; the function ends without a value


def tail_calls(tree: FunctionTree) -> set[int]:
    """The identities (``id``) of the call nodes of a function that are tail calls.

    The value of such a call is returned at once, or assigned to a local that is returned next, or not used by a
    function that returns none.
    """
    if tree.name == "main" or not _frame_may_go(tree):
        return set()
    result = tree.cursor.result_type.get_canonical()
    void = result.kind == TypeKind.VOID
    if not void and result.kind not in _PLAIN:
        return set()
    calls = {id(call.node) for call in tree.calls}
    last = _Last(tree)
    last.statement(tree.body, _END if void else _MORE, _MORE)
    if void:
        return {id(n) for n in last.calls if id(n) in calls and _small(n)}
    return {id(n) for n in last.calls if id(n) in calls and n.type.get_canonical().spelling == result.spelling}


def returned(value: Node) -> Iterator[Node]:
    """The expressions one of which gives the value of a returned expression, unchanged."""
    while value.kind == "paren":
        value = value.children[0]
    if value.kind == "cond":
        yield from returned(value.children[1])
        yield from returned(value.children[-1])
    elif value.kind == "call":
        yield value


def _is_void(node: Node) -> bool:
    return bool(node.type.get_canonical().kind == TypeKind.VOID)


def _small(node: Node) -> bool:
    """Whether the value of a call comes in a register, so that nobody gives memory for it."""
    kind = node.type.get_canonical().kind
    return kind == TypeKind.VOID or kind in _PLAIN


def _frame_may_go(tree: FunctionTree) -> bool:
    if any(local.kept for local in tree.locals.values() if not local.static):
        return False
    if any(call.callee in _KEEPS_FRAME for call in tree.calls):
        return False
    return not any(
        node.kind in ("literal", "stmtexpr", "igoto", "asm", "function")
        or (node.kind == "var" and (is_variable_array(node.type) or _has_cleanup(node)))
        for node in tree.body.walk()
    )


def _has_cleanup(node: Node) -> bool:
    return any(c.kind.value in _ATTRIBUTES for c in node.cursor.get_children())


class _Last:
    """Finds the calls that are the last thing that a function does."""

    def __init__(self, tree: FunctionTree) -> None:
        self.tree = tree
        self.calls: list[Node] = []

    def statement(self, node: Node, follow: Follow, on_break: Follow) -> None:
        """Look through a statement. ``follow`` is what comes after it, ``on_break`` what a break in it leads to."""
        if node.kind == "compound":
            for index, child in enumerate(node.children):
                self.statement(child, self._after(node.children, index + 1, follow, on_break), on_break)
        elif node.kind == "if":
            for name in ("then", "else"):
                self._part(node, name, follow, on_break)
        elif node.kind in ("label", "case", "default"):
            if node.children:
                self.statement(node.children[-1], follow, on_break)
        elif node.kind == "switch":
            self._part(node, "body", follow, follow)
        elif node.kind in ("while", "do", "for"):
            self._part(node, "body", _MORE, follow)
        elif node.kind == "return":
            if node.children:
                self.calls += returned(node.children[0])
        elif node.kind == "decl":
            if follow is not None and len(node.children) == 1 and node.children[0].kind == "var":
                self._value(node.children[0].parts["init"], node.children[0].target, follow)
        elif follow is not None:
            self._expression(node, follow)

    def _part(self, node: Node, name: str, follow: Follow, on_break: Follow) -> None:
        part = node.parts[name]
        if part is not None:
            self.statement(part, follow, on_break)

    def _expression(self, node: Node, follow: int) -> None:
        while node.kind == "paren" or (node.kind == "cast" and _is_void(node)):
            node = node.children[-1]
        if node.kind == "call" and follow == _END:
            self.calls.append(node)
        elif node.kind == "binary" and node.op == "=" and node.children[0].kind == "ref":
            self._value(node.children[-1], node.children[0].target, follow)

    def _value(self, value: Node | None, target: int, follow: int) -> None:
        local = self.tree.locals.get(target)
        if value is not None and target == follow and local is not None and not local.static:
            if value.kind == "call" and value.type.get_canonical().spelling == local.ctype.get_canonical().spelling:
                self.calls.append(value)

    def _after(self, statements: list[Node], index: int, follow: Follow, on_break: Follow) -> Follow:
        """What comes when control goes on with one of ``statements``."""
        if index == len(statements):
            return follow
        node = statements[index]
        while node.kind in ("label", "case", "default") and node.children:
            node = node.children[-1]
        if node.kind == "null" or _does_nothing(node):
            return self._after(statements, index + 1, follow, on_break)
        if node.kind == "break":
            return on_break
        if node.kind == "compound":
            return self._after(node.children, 0, self._after(statements, index + 1, follow, on_break), on_break)
        if node.kind == "return":
            if not node.children:
                return _END
            value = node.children[0]
            while value.kind == "paren":
                value = value.children[0]
            return value.target if value.kind == "ref" and value.target_kind == "local" else _MORE
        return _MORE


def _does_nothing(node: Node) -> bool:
    """Whether a statement is what a macro leaves that stands for nothing: ``((void)0)``."""
    return node.kind in ("paren", "cast", "number") and all(n.kind in ("paren", "cast", "number") for n in node.walk())
