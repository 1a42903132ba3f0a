"""Syntax trees of user functions, taken out of libclang once and small enough to work on.

A ``Node`` has the byte extent of its text, children in order of text without overlaps, and the few facts the passes ask
for. Implicit nodes of clang (casts with the extent of their child) are folded into the child.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from clang.cindex import Cursor, CursorKind, Index, TranslationUnit, TypeKind
from clang.cindex import conf as _conf

from upstare.errors import UpstareError
from upstare.frontend.dialect import parse_arguments
from upstare.frontend.source import SourceText

BINARY = {
    20: "&&", 21: "||", 22: "=", 23: "*=", 24: "/=", 25: "%=", 26: "+=", 27: "-=", 28: "<<=", 29: ">>=", 30: "&=",
    31: "^=", 32: "|=", 33: ",", 3: "*", 4: "/", 5: "%", 6: "+", 7: "-", 8: "<<", 9: ">>", 11: "<", 12: ">", 13: "<=",
    14: ">=", 15: "==", 16: "!=", 17: "&", 18: "^", 19: "|",
}  # fmt: skip
UNARY = {1: "x++", 2: "x--", 3: "++x", 4: "--x", 5: "&", 6: "*", 7: "+", 8: "-", 9: "~", 10: "!"}

_KINDS = {
    CursorKind.COMPOUND_STMT: "compound", CursorKind.IF_STMT: "if", CursorKind.WHILE_STMT: "while",
    CursorKind.DO_STMT: "do", CursorKind.FOR_STMT: "for", CursorKind.SWITCH_STMT: "switch",
    CursorKind.CASE_STMT: "case", CursorKind.DEFAULT_STMT: "default", CursorKind.LABEL_STMT: "label",
    CursorKind.GOTO_STMT: "goto", CursorKind.INDIRECT_GOTO_STMT: "igoto", CursorKind.CONTINUE_STMT: "continue",
    CursorKind.BREAK_STMT: "break", CursorKind.RETURN_STMT: "return", CursorKind.DECL_STMT: "decl",
    CursorKind.NULL_STMT: "null", CursorKind.ASM_STMT: "asm", CursorKind.CALL_EXPR: "call",
    CursorKind.BINARY_OPERATOR: "binary", CursorKind.COMPOUND_ASSIGNMENT_OPERATOR: "binary",
    CursorKind.CONDITIONAL_OPERATOR: "cond", CursorKind.UNARY_OPERATOR: "unary", CursorKind.DECL_REF_EXPR: "ref",
    CursorKind.MEMBER_REF_EXPR: "member", CursorKind.PAREN_EXPR: "paren", CursorKind.CSTYLE_CAST_EXPR: "cast",
    CursorKind.INIT_LIST_EXPR: "list", CursorKind.COMPOUND_LITERAL_EXPR: "literal",
    CursorKind.StmtExpr: "stmtexpr", CursorKind.ARRAY_SUBSCRIPT_EXPR: "index",
    CursorKind.CXX_UNARY_EXPR: "sizeof", CursorKind.ADDR_LABEL_EXPR: "addrlabel", CursorKind.VAR_DECL: "var",
    CursorKind.GENERIC_SELECTION_EXPR: "generic", CursorKind.INTEGER_LITERAL: "number",
    CursorKind.FLOATING_LITERAL: "number", CursorKind.CHARACTER_LITERAL: "number",
    CursorKind.STRING_LITERAL: "string", CursorKind.FUNCTION_DECL: "function",
    CursorKind.STRUCT_DECL: "record", CursorKind.UNION_DECL: "record", CursorKind.ENUM_DECL: "enumeration",
    CursorKind.TYPEDEF_DECL: "typedef",
}  # fmt: skip

STATEMENTS = frozenset(
    "compound if while do for switch case default label goto igoto continue break return decl null asm".split()
)
_SKIP = {CursorKind.TYPE_REF, CursorKind.LABEL_REF, CursorKind.MEMBER_REF}


def _library() -> Any:
    lib = _conf.lib
    for name in ("clang_getCursorBinaryOperatorKind", "clang_getCursorUnaryOperatorKind"):
        function = getattr(lib, name)
        function.argtypes = [Cursor]
        function.restype = ctypes.c_int
    lib.clang_Cursor_getVarDeclInitializer.argtypes = [Cursor]
    lib.clang_Cursor_getVarDeclInitializer.restype = Cursor
    lib.clang_Cursor_isVariadic.argtypes = [Cursor]
    return lib


@dataclass(eq=False, slots=True)
class Node:
    """One statement, expression or local declaration. ``end`` leaves out a ``;``. Offsets are bytes."""

    kind: str
    start: int
    end: int
    cursor: Cursor
    children: list[Node] = field(default_factory=list)
    op: str = ""  # operator of binary, unary
    name: str = ""  # ref, member, label, goto, var
    target: int = -1  # ref: offset of the declaration's name; var: its own
    target_kind: str = ""  # ref: 'local' 'static' 'global' 'function' 'constant'
    parts: dict[str, Node | None] = field(default_factory=dict)  # for, if, var: named children
    hot: bool = False  # holds a call that may unroll, or a point (set by the transform)
    hot_call: bool = False  # is such a call

    @property
    def type(self) -> Any:
        """The clang type of the expression."""
        return self.cursor.type

    def walk(self) -> Iterator[Node]:
        """This node and everything below it, in order of text."""
        stack = [self]
        while stack:
            node = stack.pop()
            yield node
            stack.extend(reversed(node.children))

    def evaluated(self) -> Iterator[Node]:
        """Like :meth:`walk`, without the operands of sizeof and its kind."""
        stack = [self]
        while stack:
            node = stack.pop()
            yield node
            if node.kind != "sizeof":
                stack.extend(reversed(node.children))


class Parsed:
    """A unit as libclang sees it."""

    def __init__(self, text: bytes, flags: tuple[str, ...]) -> None:
        self.source = SourceText(text)
        self.lib = _library()
        self.unit: TranslationUnit = Index.create().parse(
            "unit.c",
            args=parse_arguments(flags, text),
            unsaved_files=[("unit.c", text)],
        )
        if self.unit is None:
            raise UpstareError("libclang could not read the preprocessed text")
        self.errors = sorted((d.location.offset, d.spelling) for d in self.unit.diagnostics if d.severity >= 3)
        self.top: list[Cursor] = list(self.unit.cursor.get_children())
        self._functions: dict[str, list[Cursor]] = {}
        for cursor in self.top:
            if cursor.kind == CursorKind.FUNCTION_DECL:
                self._functions.setdefault(cursor.spelling, []).append(cursor)

    def declarations(self, name: str) -> list[Cursor]:
        """The declarations of a function at file scope that stand in the text."""
        return self._functions.get(name, [])

    def error_in(self, start: int, end: int) -> str | None:
        """The first parse error inside an extent, if any."""
        for offset, message in self.errors:
            if start <= offset < end:
                return str(message)
        return None

    def node(self, cursor: Cursor) -> Node:
        """The tree of a statement or expression."""
        return _Builder(self).build(cursor)


def is_file_scope(cursor: Cursor) -> bool:
    """Whether a declaration stands at file scope."""
    parent = cursor.semantic_parent
    return parent is None or parent.kind == CursorKind.TRANSLATION_UNIT


class _Builder:
    def __init__(self, parsed: Parsed) -> None:
        self.source = parsed.source
        self.lib = parsed.lib

    def build(self, cursor: Cursor) -> Node:
        extent = cursor.extent
        kind = _KINDS.get(cursor.kind, "other")
        node = Node(kind, extent.start.offset, extent.end.offset, cursor)
        if kind in ("record", "enumeration", "typedef", "function"):
            node.name = cursor.spelling
            return node
        children = [self.build(c) for c in cursor.get_children() if c.kind not in _SKIP]
        if kind == "other" and len(children) == 1 and (children[0].start, children[0].end) == (node.start, node.end):
            return children[0]  # implicit cast
        node.children = _disjoint(children)
        self._finish(node)
        return node

    def _finish(self, node: Node) -> None:
        cursor, kids = node.cursor, node.children
        if node.kind == "binary":
            node.op = BINARY.get(self.lib.clang_getCursorBinaryOperatorKind(cursor), "?")
        elif node.kind == "unary":
            node.op = UNARY.get(self.lib.clang_getCursorUnaryOperatorKind(cursor), "?")
        elif node.kind == "ref":
            self._reference(node)
        elif node.kind in ("member", "label"):
            node.name = cursor.spelling
        elif node.kind == "addrlabel":
            node.name = self.source.words(node.start, node.end).lstrip("& ")
        elif node.kind == "goto":
            text = self.source.flat(node.start, node.end).split()
            node.name = text[-1] if text else ""
        elif node.kind == "var":
            node.name = cursor.spelling
            node.target = cursor.location.offset
            node.target_kind = "static" if cursor.storage_class.name in ("STATIC", "EXTERN") else "local"
            initialiser = self.lib.clang_Cursor_getVarDeclInitializer(cursor)
            node.parts["init"] = None
            if initialiser is not None and initialiser.kind != CursorKind.INVALID_FILE:
                begin = initialiser.extent.start.offset
                for kid in kids:
                    if kid.start == begin and kid.end >= initialiser.extent.end.offset:
                        node.parts["init"] = kid
        elif node.kind == "for":
            self._for(node)
        elif node.kind == "if":
            node.parts = {"cond": kids[0], "then": kids[1], "else": kids[2] if len(kids) > 2 else None}
        elif node.kind in ("while", "switch"):
            node.parts = {"cond": kids[0], "body": kids[-1]}
        elif node.kind == "do":
            node.parts = {"cond": kids[-1], "body": kids[0]}
        elif node.kind == "other" and len(kids) == 2 and cursor.kind == CursorKind.UNEXPOSED_EXPR:
            between = "".join(self.source.flat(kids[0].end, kids[1].start).split())
            if between.strip("()") == "?:":
                node.kind = "elvis"  # a ?: b

    def _reference(self, node: Node) -> None:
        target = node.cursor.referenced
        node.name = node.cursor.spelling
        if target is None:
            return
        node.target = target.location.offset
        if target.kind == CursorKind.FUNCTION_DECL:
            node.target_kind = "function"
        elif target.kind == CursorKind.ENUM_CONSTANT_DECL:
            node.target_kind = "constant"
        elif target.kind == CursorKind.PARM_DECL:
            node.target_kind = "local"
        elif is_file_scope(target) or target.storage_class.name == "EXTERN":
            node.target_kind = "global"
        else:
            node.target_kind = "static" if target.storage_class.name == "STATIC" else "local"

    def _for(self, node: Node) -> None:
        open_paren = self.source.text.index(b"(", node.start)
        marks = self.source.semicolons(open_paren, 2)
        parts: dict[str, Node | None] = {"init": None, "cond": None, "inc": None, "body": None}
        for kid in node.children:
            if kid.start < marks[0]:
                parts["init"] = kid
            elif kid.start < marks[1]:
                parts["cond"] = kid
            elif kid.start < marks[2]:
                parts["inc"] = kid
            else:
                parts["body"] = kid
        node.parts = parts


def _disjoint(children: list[Node]) -> list[Node]:
    """The children in order of text; of overlapping ones the first stays, unless both are declarators of one list."""
    result: list[Node] = []
    for child in sorted(children, key=lambda n: (n.target if n.kind == "var" else n.start, n.end)):
        if child.end <= child.start and child.kind != "null":
            continue
        if (
            result
            and child.start < result[-1].end
            and not (child.kind == "var" and result[-1].kind in ("var", "record", "enumeration"))
        ):
            continue
        result.append(child)
    return result


def is_floating(kind: TypeKind) -> bool:
    """float and double: what an xmm register holds."""
    return kind in (TypeKind.FLOAT, TypeKind.DOUBLE)
