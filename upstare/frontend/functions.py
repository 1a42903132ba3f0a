"""The user's functions of one unit: their trees, variables, calls and loops, and why some cannot be instrumented."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from clang.cindex import CursorKind, TypeKind

from upstare.frontend.bounds import bound
from upstare.frontend.endings import doom, is_noreturn, is_zero, never_returns
from upstare.frontend.nodes import Node, Parsed, callee_of
from upstare.frontend.tables import Cursor, Type
from upstare.frontend.tails import tail_calls
from upstare.frontend.types import is_array, is_const, is_variable_array

ALLOCA = {"alloca", "__builtin_alloca", "__builtin_alloca_with_align", "__builtin_alloca_with_align_and_max"}
_SETJMP = {"setjmp", "_setjmp", "sigsetjmp", "__sigsetjmp", "__sigsetjmp_cancel"}
CLEANUP = r"(?:__)?cleanup(?:__)?\s*\(\s*(\w+)\s*\)"  # the attribute
_TWICE = {"__builtin_setjmp", "vfork", "getcontext", "savectx"}  # others that may return twice
VA_START = {"__builtin_va_start", "va_start"}
# Pragmas that change what the text after them means; the others are advice, and are left out of clones.
_PRAGMA = re.compile(rb"^[ \t]*#[ \t]*pragma[ \t]+(pack|omp|acc|scalar_storage_order|weak|redefine_extname)\b", re.M)


@dataclass(eq=False)
class Local:
    """A parameter, automatic local or static local of a function."""

    name: str
    key: str
    target: int  # offset of its name: identifies it
    ctype: Any
    parameter: bool
    static: bool
    node: Node | None  # its declaration (None: parameter)
    scope: tuple[int, int]  # extent of text in which it lives
    kept: bool = False
    va_list: bool = False
    cleanup: str | None = None  # the function that is called when its scope is left


@dataclass
class Call:
    """A call in a function. ``callee`` is a name, or None for an indirect call of the function type ``ctype``."""

    node: Node
    callee: str | None
    ctype: Any
    doom: frozenset[str]  # the functions declared never to return, in one of which the path must end
    tail: bool = False  # nothing is left to do after it: see tails.py


@dataclass
class LoopInfo:
    """A loop: ``why`` says what bounds it by data ('counts', 'walks'), that it 'never' turns, or ''."""

    node: Node
    why: str
    inner: bool  # holds another loop


@dataclass
class FunctionTree:
    """One function definition."""

    name: str
    cursor: Cursor
    start: int
    end: int
    body: Node
    static: bool
    noreturn: bool
    variadic: bool
    locals: dict[int, Local] = field(default_factory=dict)
    calls: list[Call] = field(default_factory=list)
    loops: list[LoopInfo] = field(default_factory=list)
    values: list[Node] = field(default_factory=list)  # references to functions other than direct callees
    pinned: str | None = None
    label_tables: set[int] = field(default_factory=set)  # static locals that only `goto *table[i]` reads
    label_numbers: dict[str, int] = field(default_factory=dict)  # labels whose address goes anywhere else
    local_label: str | None = None  # one of these that has no meaning outside its block: then none has a number

    def parent(self, node: Node) -> Node | None:
        """The enclosing node of a node of this function."""
        return node.parent


def functions(parsed: Parsed) -> Iterator[FunctionTree]:
    """Every function that the user defines in the unit, in order of text; of two definitions (GNU ``extern inline``)
    the last, which is the function itself."""
    seen: set[int] = set()
    definitions = [c for c in parsed.top if c.kind == CursorKind.FUNCTION_DECL and c.is_definition()]
    last = {c.spelling: c.location.offset for c in definitions}
    for cursor in definitions:
        start, end = cursor.extent.start.offset, cursor.extent.end.offset
        # The end, because the first word may be a system header's macro (bool), which the markers lay to that header.
        if parsed.source.is_system(end - 1) or start in seen or last[cursor.spelling] != cursor.location.offset:
            continue
        seen.add(start)
        body = next((c for c in cursor.get_children() if c.kind == CursorKind.COMPOUND_STMT), None)
        if body is None:
            continue
        yield _tree(parsed, cursor, start, end, parsed.node(body))


def _tree(parsed: Parsed, cursor: Cursor, start: int, end: int, body: Node) -> FunctionTree:
    tree = FunctionTree(
        cursor.spelling, cursor, start, end, body,
        static=cursor.storage_class.name == "STATIC",
        noreturn=is_noreturn(cursor, parsed),
        variadic=cursor.type.kind == TypeKind.FUNCTIONPROTO and cursor.type.is_function_variadic(),
    )  # fmt: skip
    _variables(tree)
    _uses(parsed, tree)
    _loops(parsed, tree)
    _labels(parsed, tree)
    last = tail_calls(tree)
    for call in tree.calls:
        call.tail = id(call.node) in last
    tree.pinned = _why_pinned(parsed, tree)
    return tree


def _variables(tree: FunctionTree) -> None:
    names: dict[str, int] = {}

    def add(local: Local) -> None:
        count = names.get(local.name, 0)
        names[local.name] = count + 1
        local.key = local.name if count == 0 else f"{local.name}#{count + 1}"
        tree.locals[local.target] = local

    for argument in tree.cursor.get_arguments():
        add(Local(argument.spelling, "", argument.location.offset, argument.type, True, False, None,
                  (tree.body.start, tree.body.end)))  # fmt: skip
    for node in tree.body.walk():
        if node.kind != "var":
            continue
        storage = node.cursor.storage_class.name
        if storage == "EXTERN":
            continue
        scope = _scope_end(tree, node)
        add(Local(node.name, "", node.target, node.type, False, storage == "STATIC", node, (node.end, scope)))


def _scope_end(tree: FunctionTree, node: Node) -> int:
    parent = tree.parent(node)
    while parent is not None and parent.kind not in ("compound", "for", "stmtexpr"):
        parent = tree.parent(parent)
    return parent.end if parent is not None else tree.body.end


def is_arrow(parsed: Parsed, node: Node) -> bool:
    """Whether a member expression is ``a->b`` (else ``a.b``)."""
    if not node.children:
        return False
    return parsed.source.flat(node.children[-1].end, node.end).strip().startswith("->")


def access_path(parsed: Parsed, tree: FunctionTree, node: Node) -> Node:
    """The largest expression that designates (a part of) the object that ``node`` refers to."""
    while True:
        parent = tree.parent(node)
        if parent is None:
            return node
        if parent.kind == "paren":
            node = parent
        elif parent.kind == "member" and not is_arrow(parsed, parent):
            node = parent
        elif parent.kind == "index" and parent.children[0] is node and is_array(node.type):
            node = parent
        else:
            return node


def taken_address(parsed: Parsed, tree: FunctionTree, node: Node) -> Node | None:
    """The expression that is the address of (a part of) the object that ``node`` refers to; None if only its value is
    used."""
    path = access_path(parsed, tree, node)
    parent = tree.parent(path)
    if parent is None:
        return None
    if parent.kind == "unary" and parent.op == "&":
        above = tree.parent(parent)
        while above is not None and above.kind in ("paren", "cast"):
            above = tree.parent(above)
        looked_at = above is not None and above.kind == "unary" and above.op == "*"  # *&x is x, *(T *)&x its bytes
        return parent if above is None or not looked_at or _lasts(parsed, tree, above) else None
    if parent.kind == "sizeof":
        return None
    if is_array(path.type) and not (parent.kind == "var" and parent.parts.get("init") is not path):
        return path
    return None


def _is_address_taken(parsed: Parsed, tree: FunctionTree, local: Local, node: Node) -> bool:
    """Whether an address in this local is known elsewhere for this use of it. Parameters that are declared as arrays
    (a ``va_list`` is one) are pointers: what these lead to is not in them."""
    if not (local.parameter and is_array(local.ctype)):
        return taken_address(parsed, tree, node) is not None
    parent = tree.parent(node)
    while parent is not None and parent.kind == "paren":
        parent = tree.parent(parent)
    return parent is not None and parent.kind == "unary" and parent.op == "&"


def _lasts(parsed: Parsed, tree: FunctionTree, value: Node) -> bool:
    """Whether what is behind a dereferenced address is more than read or assigned: its address is taken again, or
    something else may happen to it."""
    parent = tree.parent(access_path(parsed, tree, value))
    volatile = bool(value.type.get_canonical().is_volatile_qualified())
    return volatile or (parent is not None and parent.kind == "asm") or taken_address(parsed, tree, value) is not None


def _uses(parsed: Parsed, tree: FunctionTree) -> None:
    for local in tree.locals.values():
        if local.node is not None and not local.static:
            local.cleanup = _cleanup(parsed, local.node)
            local.kept = local.cleanup is not None
        if is_array(local.ctype) and not local.parameter:
            local.kept = True
        if local.ctype.get_canonical().is_volatile_qualified():
            local.kept = True
    doomed = doom(parsed, tree.body, tree.noreturn)
    for node in tree.body.evaluated():
        if node.kind == "ref":
            if node.target_kind == "local" and node.target in tree.locals:
                local = tree.locals[node.target]
                if not local.kept and _is_address_taken(parsed, tree, local, node):
                    local.kept = True
                parent = tree.parent(node)
                if parent is not None and parent.kind == "asm":
                    local.kept = True
            elif node.target_kind == "function" and not _is_callee(tree, node):
                tree.values.append(node)
        elif node.kind == "call":
            callee = callee_of(node)
            ctype = node.cursor.type
            if callee is None and node.children:
                ctype = node.children[0].type.get_canonical()
                if ctype.kind == TypeKind.POINTER:
                    ctype = ctype.get_pointee().get_canonical()
            tree.calls.append(Call(node, callee.name if callee else None, ctype, doomed.get(id(node), frozenset())))


def parameter_types(call: Node) -> list[Type]:
    """The types of the parameters of the function that is called, as far as it declares them."""
    function = call.children[0].type.get_canonical()
    if function.kind == TypeKind.POINTER:
        function = function.get_pointee().get_canonical()
    return function.argument_types() if function.kind == TypeKind.FUNCTIONPROTO else []


def _is_callee(tree: FunctionTree, node: Node) -> bool:
    child, parent = node, tree.parent(node)
    while parent is not None and parent.kind == "paren":
        child, parent = parent, tree.parent(parent)
    return parent is not None and parent.kind == "call" and parent.children[0] is child


def _loops(parsed: Parsed, tree: FunctionTree) -> None:
    loops = [n for n in tree.body.walk() if n.kind in ("for", "while", "do")]
    real = [n for n in loops if not (n.kind == "do" and is_zero(n.parts["cond"]))]
    for node in real:
        inner = any(m is not node and node.start <= m.start and m.end <= node.end for m in real)
        why = "never" if _never_turns(parsed, tree, node) else bound(parsed, node)
        tree.loops.append(LoopInfo(node, why, inner))


def _never_turns(parsed: Parsed, tree: FunctionTree, loop: Node) -> bool:
    """Whether a call that does not return stands before the loop, or begins its body (``for (;;) abort();``)."""
    body = loop.parts.get("body")
    first = body.children[0] if body is not None and body.kind == "compound" and body.children else body
    if first is not None and first.kind == "call" and never_returns(parsed, first):
        return True
    child, parent = loop, tree.parent(loop)
    while parent is not None:
        if parent.kind == "compound":
            for before in parent.children[: parent.children.index(child)]:
                ends = before.kind == "call" and never_returns(parsed, before)
                if ends and not _may_be_reached(parent, before, child):
                    return True
        child, parent = parent, tree.parent(parent)
    return False


def _may_be_reached(block: Node, end: Node, statement: Node) -> bool:
    """Whether a label or case lets control come in between two statements of a block."""
    return any(
        n.kind in ("label", "case", "default")
        for s in block.children
        if end.end <= s.start and s.start <= statement.start
        for n in s.walk()
    )


def _labels(parsed: Parsed, tree: FunctionTree) -> None:
    """How label addresses are used, in a function that jumps to them.

    A table that is never changed and only read by ``goto *table[i]`` belongs to each clone alone. All other label
    addresses are values that may outlive a clone and a version: they become numbers, in order of first mention.
    """
    if not any(n.kind == "igoto" for n in tree.body.walk()):
        return
    tables = {
        local.target
        for local in tree.locals.values()
        if local.static and local.node is not None and is_array(local.ctype) and _holds_label(local.node)
    }
    for node in tree.body.evaluated():
        if node.kind == "ref" and node.target in tables and not _only_jumps(tree, node):
            tables.discard(node.target)
    tree.label_tables = tables
    for node in tree.body.walk():
        if node.kind == "addrlabel" and not _in_table(tree, node) and node.name not in tree.label_numbers:
            tree.label_numbers[node.name] = len(tree.label_numbers) + 1
    tree.local_label = next((name for name in tree.label_numbers if _local_label(parsed, tree, name)), None)
    if tree.local_label is not None:
        tree.label_numbers.clear()


def _holds_label(node: Node) -> bool:
    return any(n.kind == "addrlabel" for n in node.walk())


def _in_table(tree: FunctionTree, node: Node) -> bool:
    """Whether a label is named where it needs no number: in a clone's own table, or as an operand of asm goto."""
    parent = tree.parent(node)
    while parent is not None:
        if parent.kind == "asm" or (parent.kind == "var" and parent.target in tree.label_tables):
            return True
        parent = tree.parent(parent)
    return False


def _only_jumps(tree: FunctionTree, node: Node) -> bool:
    """Whether a reference to a table is that of ``goto *table[i]``."""
    child, parent = node, tree.parent(node)
    indexed = False
    while parent is not None:
        if parent.kind == "igoto":
            return indexed
        if parent.kind == "index" and parent.children[0] is child:
            indexed = True
        elif parent.kind == "cast":
            if parent.type.get_canonical().kind != TypeKind.POINTER:
                return False
        elif parent.kind != "paren":
            return False
        child, parent = parent, tree.parent(parent)
    return False


def label_number(tree: FunctionTree, node: Node) -> int | None:
    """The number that stands for the label address ``node``; None if each clone has its own address there."""
    return None if _in_table(tree, node) else tree.label_numbers.get(node.name)


def own_table(tree: FunctionTree, jump: Node) -> bool:
    """Whether a computed goto reads the clone's own table: then its operand needs no translation."""
    node = jump.children[0]
    while node.kind in ("paren", "cast", "index"):
        node = node.children[-1] if node.kind == "cast" else node.children[0]
    return node.kind == "ref" and node.target in tree.label_tables


def _why_pinned(parsed: Parsed, tree: FunctionTree) -> str | None:
    """Why no frame of this function may be taken down, or None."""
    where = parsed.source.where
    error = parsed.error_in(tree.start, tree.end)
    if error and "function definition is not allowed here" in error:
        return f"{where(tree.start)}: {tree.name}: nested function"
    if error:
        return f"{where(tree.start)}: {tree.name}: the front end does not understand it: {error}"
    if re.search(rb"\b_*naked_*\b", parsed.source.text[tree.start : tree.body.start]):
        return f"{where(tree.start)}: {tree.name}: naked function"
    pragma = _PRAGMA.search(parsed.source.text, tree.body.start, tree.end)
    if pragma is not None:
        return f"{where(pragma.start(1))}: {tree.name}: #pragma {pragma.group(1).decode()} inside a function"
    for local in tree.locals.values():
        ctype = local.ctype.get_canonical()
        if local.parameter and is_variable_array(ctype.element_type if is_array(ctype) else ctype):
            return f"{where(local.target)}: {tree.name}: a parameter with a type of variable length"
    for node in tree.body.walk():
        problem = ""
        if node.kind == "addrlabel" and node.name == tree.local_label:
            problem = f"the address of {node.name}, a label that is local to a block, is stored"
        elif node.kind in ("var", "typedef") and is_variable_array(node.type) and not _is_plain_array(node):
            problem = "a type of variable length"
        elif node.kind == "var" and parsed.exceptions and _cleanup(parsed, node):
            problem = "cleanup attribute with -fexceptions"
        elif node.kind == "call":
            callee = callee_of(node)
            if callee is not None and callee.name in _TWICE:
                problem = f"{callee.name}"
            elif callee is not None and callee.name in _SETJMP and _moving_memory(tree):
                problem = f"{callee.name} together with {_moving_memory(tree)}"
        if problem:
            return f"{where(node.start)}: {tree.name}: {problem}"
    return None


def _local_label(parsed: Parsed, tree: FunctionTree, name: str) -> bool:
    text = parsed.source.text[tree.start : tree.end]
    return b"__label__" in text and re.search(rb"__label__[^;]*\b%s\b" % re.escape(name.encode()), text) is not None


def _cleanup(parsed: Parsed, node: Node) -> str | None:
    """The function of a variable's cleanup attribute."""
    for child in node.children:
        found = re.fullmatch(CLEANUP, parsed.source.words(child.start, child.end)) if child.kind == "other" else None
        if found is not None:
            return found.group(1)
    return None


def _is_plain_array(node: Node) -> bool:
    """Whether a variable of variable length is an array of elements whose size is constant, and not static."""
    ctype = node.type.get_canonical()
    while is_array(ctype):
        ctype = ctype.element_type.get_canonical()
    return node.kind == "var" and node.target_kind == "local" and not is_variable_array(ctype)


def set_jumps(tree: FunctionTree) -> list[Node]:
    """The calls of setjmp and its kind, in order of text."""
    return [call.node for call in tree.calls if call.callee in _SETJMP]


def _moving_memory(tree: FunctionTree) -> str:
    """A call that makes memory of the frame which no variable names; what leads there may change after a setjmp."""
    return next((call.callee for call in tree.calls if call.callee in ALLOCA | VA_START and call.callee), "")


def mutable(cursor: Cursor) -> bool:
    """Whether a variable with static storage can change."""
    return not is_const(cursor.type)
