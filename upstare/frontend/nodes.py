"""Syntax trees of user functions, made from the tables of the native walk and small enough to work on.

A ``Node`` has the byte extent of its text, children in order of text without overlaps, and the few facts the passes ask
for. Implicit nodes of clang (casts with the extent of their child) are folded into the child.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from clang.cindex import CursorKind

from upstare.frontend.dialect import parse_arguments
from upstare.frontend.source import SourceText
from upstare.frontend.tables import Cursor, Tables, Type

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
_NAMES = {kind.value: name for kind, name in _KINDS.items()}
_SKIP = {CursorKind.TYPE_REF.value, CursorKind.LABEL_REF.value, CursorKind.MEMBER_REF.value}
_UNEXPOSED = CursorKind.UNEXPOSED_EXPR.value
_ATTRIBUTED = CursorKind.UNEXPOSED_STMT.value
_LEAVES = frozenset(("record", "enumeration", "typedef", "function"))


_NO_PARTS: dict[str, Node | None] = {}  # of the many nodes that have none
_NO_ORDER: list[Node] = []


@dataclass(eq=False, slots=True)
class Node:
    """One statement, expression or local declaration. ``end`` leaves out a ``;``. Offsets are bytes."""

    kind: str
    start: int
    end: int
    tables: Tables
    row: int  # in the trees
    children: list[Node] = field(default_factory=list)
    op: str = ""  # operator of binary, unary
    name: str = ""  # ref, member, label, goto, var; the text of a number
    target: int = -1  # ref: offset of the declaration's name; var: its own
    target_kind: str = ""  # ref: 'local' 'static' 'global' 'function' 'constant'
    parts: dict[str, Node | None] = field(default_factory=lambda: _NO_PARTS)  # for, if, var: named children
    parent: Node | None = None
    order: list[Node] = field(default_factory=lambda: _NO_ORDER)  # the whole tree in order of text: this is
    first: int = 0  # order[first], and what is below goes up to order[last]
    last: int = 0
    hot: bool = False  # holds a call that may unroll, or a point (set by the transform)
    hot_call: bool = False  # is such a call

    @property
    def cursor(self) -> Cursor:
        """What libclang knows of it."""
        return self.tables.cursor(self.row)

    @property
    def type(self) -> Type:
        """The type of the expression."""
        return self.tables.type(self.tables.trees["type"][self.row])

    def covers(self, other: Node) -> bool:
        """Whether both are the same text."""
        return self.start == other.start and self.end == other.end

    def walk(self) -> Iterator[Node]:
        """This node and everything below it, in order of text."""
        return iter(self.order[self.first : self.last])

    def evaluated(self) -> Iterator[Node]:
        """Like :meth:`walk`, without the operands of sizeof and its kind."""
        order, at, last = self.order, self.first, self.last
        while at < last:
            node = order[at]
            yield node
            at = node.last if node.kind == "sizeof" else at + 1


class Parsed:
    """A unit as libclang sees it."""

    def __init__(self, text: bytes, flags: tuple[str, ...]) -> None:
        self.source = SourceText(text)
        self.exceptions = "-fexceptions" in flags
        self.tables = Tables(text, parse_arguments(flags, text), *self.source.origins())
        self.errors = self.tables.errors
        self.top: list[Cursor] = self.tables.top
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
        return _Builder(self).build(cursor.tree)

    def initialiser(self, cursor: Cursor) -> Node | None:
        """The tree of the initialiser of a variable; None if it has none, or is of a system header."""
        row = self.tables.trees["operator"][cursor.tree] if cursor.tree >= 0 else -1
        return _Builder(self).build(row) if row >= 0 else None


class _Builder:
    def __init__(self, parsed: Parsed) -> None:
        self.source = parsed.source
        self.tables = parsed.tables

    def build(self, top: int) -> Node:
        """The tree of a row, from the leaves up."""
        trees = self.tables.trees
        kinds, starts, ends, lasts = trees["kind"], trees["start"], trees["end"], trees["last"]
        end = lasts[top]
        built: list[Node | None] = [None] * (end - top)
        for row in range(end - 1, top - 1, -1):
            cursor_kind = kinds[row]
            if cursor_kind in _SKIP and row != top:
                continue
            kind = _NAMES.get(cursor_kind, "other")
            node = Node(kind, starts[row], ends[row], self.tables, row)
            built[row - top] = node
            if kind in _LEAVES:
                node.name = self.tables.name(trees["name"][row])
                continue
            children: list[Node] = []
            below, last = row + 1, lasts[row]
            while below < last:
                child = built[below - top]
                if child is not None:
                    children.append(child)
                below = lasts[below]
            if kind == "other" and len(children) == 1 and children[0].covers(node):
                built[row - top] = children[0]  # implicit cast
                continue
            if cursor_kind == _ATTRIBUTED and len(children) == 1:
                built[row - top] = children[0]  # a statement with attributes, a loop after a pragma
                continue
            node.children = _disjoint(children) if len(children) > 1 else [c for c in children if not _is_empty(c)]
            self._finish(node, cursor_kind)
        root = built[0]
        assert root is not None
        _connect(root)
        return root

    def _finish(self, node: Node, cursor_kind: int) -> None:
        kids, row, trees = node.children, node.row, self.tables.trees
        if node.kind == "binary":
            node.op = BINARY.get(trees["operator"][row], "?")
        elif node.kind == "unary":
            node.op = UNARY.get(trees["operator"][row], "?")
        elif node.kind == "ref":
            self._reference(node)
        elif node.kind in ("member", "label"):
            node.name = self.tables.name(trees["name"][row])
        elif node.kind == "addrlabel":
            node.name = self.source.words(node.start, node.end).lstrip("& ")
        elif node.kind == "number":
            node.name = self.source.flat(node.start, node.end)
        elif node.kind == "goto":
            text = self.source.flat(node.start, node.end).split()
            node.name = text[-1] if text else ""
        elif node.kind == "var":
            cursor = self.tables.cursor(row)
            node.name = cursor.spelling
            node.target = cursor.location.offset
            node.target_kind = "static" if cursor.storage_class.name in ("STATIC", "EXTERN") else "local"
            initialiser = trees["operator"][row]
            node.parts = {"init": None}
            if initialiser >= 0:
                begin, end = trees["start"][initialiser], trees["end"][initialiser]
                for kid in kids:
                    if kid.start == begin and kid.end >= end:
                        node.parts["init"] = kid
        elif node.kind == "for":
            self._for(node)
        elif node.kind == "if":
            node.parts = {"cond": kids[0], "then": kids[1], "else": kids[2] if len(kids) > 2 else None}
        elif node.kind in ("while", "switch"):
            node.parts = {"cond": kids[0], "body": kids[-1]}
        elif node.kind == "do":
            node.parts = {"cond": kids[-1], "body": kids[0]}
        elif node.kind == "other" and len(kids) == 2 and cursor_kind == _UNEXPOSED:
            between = "".join(self.source.flat(kids[0].end, kids[1].start).split())
            if between.strip("()") == "?:":
                node.kind = "elvis"  # a ?: b

    def _reference(self, node: Node) -> None:
        target = self.tables.cursor(node.row).referenced
        node.name = self.tables.name(self.tables.trees["name"][node.row])
        if target is None:
            return
        node.target = target.location.offset
        if target.kind == CursorKind.FUNCTION_DECL:
            node.target_kind = "function"
        elif target.kind == CursorKind.ENUM_CONSTANT_DECL:
            node.target_kind = "constant"
        elif target.kind == CursorKind.PARM_DECL:
            node.target_kind = "local"
        elif target.is_file_scope or target.storage_class.name == "EXTERN":
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


def callee_of(call: Node) -> Node | None:
    """The reference to the function that a call calls; None: an indirect call."""
    callee = call.children[0] if call.children else None
    while callee is not None and callee.kind == "paren":
        callee = callee.children[0]
    return callee if callee is not None and callee.kind == "ref" and callee.target_kind == "function" else None


def callee_name(call: Node) -> str | None:
    """The name of the function that a call calls; None: an indirect call."""
    callee = callee_of(call)
    return callee.name if callee is not None else None


def _disjoint(children: list[Node]) -> list[Node]:
    """The children in order of text; of overlapping ones the first stays, unless both are declarators of one list."""
    result: list[Node] = []
    for child in sorted(children, key=lambda n: (n.target if n.kind == "var" else n.start, n.end)):
        if _is_empty(child):
            continue
        if (
            result
            and child.start < result[-1].end
            and not (child.kind == "var" and result[-1].kind in ("var", "record", "enumeration"))
        ):
            continue
        result.append(child)
    return result


def _is_empty(node: Node) -> bool:
    return node.end <= node.start and node.kind != "null"


def _connect(root: Node) -> None:
    """Give each node its parent and its place in the order of the whole tree."""
    order: list[Node] = []
    stack = [root]
    while stack:
        node = stack.pop()
        node.order, node.first = order, len(order)
        order.append(node)
        for child in reversed(node.children):
            child.parent = node
            stack.append(child)
    for node in reversed(order):
        node.last = node.children[-1].last if node.children else node.first + 1
