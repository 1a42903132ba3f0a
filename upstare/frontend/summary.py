"""Reads from the trees of one unit what the whole-program model needs to know (:mod:`upstare.model.facts`)."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from typing import Any

from clang.cindex import CursorKind, TypeKind

from upstare.frontend.constants import constants
from upstare.frontend.endings import ends
from upstare.frontend.flows import flows
from upstare.frontend.functions import FunctionTree, mutable, parameter_types, taken_address
from upstare.frontend.nodes import Node, Parsed
from upstare.frontend.source import SourceText
from upstare.frontend.statics import movable
from upstare.frontend.tables import Cursor
from upstare.frontend.types import TypeTable, is_array
from upstare.frontend.unused import unused_functions
from upstare.model.description import AddressUse, PointerSource
from upstare.model.facts import CallFact, Details, FunctionFact, LoopFact, UnitSummary, VariableFact


def summarise(parsed: Parsed, trees: list[FunctionTree], types: TypeTable) -> UnitSummary:
    """The facts of one unit."""
    source = parsed.source
    plain = source.flat(0, len(source.text)).encode("utf-8", "surrogateescape")
    summary, details = UnitSummary(hashlib.sha256(plain).hexdigest()), Details()
    values: set[str] = set()
    for cursor in parsed.top:
        if cursor.kind == CursorKind.FUNCTION_DECL:
            _other_names(source, cursor, summary)
        elif cursor.kind == CursorKind.VAR_DECL:
            fact = _variable(parsed, cursor, types)
            if fact is not None:
                summary.variables.append(fact)
            init = parsed.initialiser(cursor)
            if init is not None:
                for node in init.walk():
                    if node.kind == "ref" and node.target_kind == "function":
                        values.add(node.name)
                    elif node.kind == "ref" and node.target_kind == "global":
                        _initialiser_use(parsed, details, types, cursor, init, node)
    unused = unused_functions(parsed, trees, values)
    for tree in trees:
        _function(parsed, tree, summary, types, tree.name in unused)
        if tree.name not in unused or any(local.static for local in tree.locals.values()):
            values.update(n.name for n in tree.values)  # the compiler leaves out the others; a variable may last
        for local in tree.locals.values():
            if local.target in tree.label_tables:
                continue  # each clone has its own
            if local.static and local.node is not None and mutable(local.node.cursor):
                file, line = source.locate(local.target)
                summary.variables.append(
                    VariableFact(
                        local.name, local.key, True, tree.name, types.key(local.ctype, f"{tree.name}.{local.key}"),
                        local.ctype.spelling, local.ctype.get_size(), file, line, True,
                        local.node.cursor.tls_kind.name != "NONE", local.node.parts["init"] is not None,
                        movable(tree, local.node),
                    )
                )  # fmt: skip
        _addresses(parsed, tree, details, types)
        _pointers(parsed, tree, details, types)
    summary.constants, summary.fixed = constants(parsed, trees, unused, types)
    details.flows = flows(parsed, trees, types)
    details.types = types.types
    summary.values = sorted(values)
    summary.pack(details)
    return summary


_ALIAS = re.compile(rb'\b_*(?:alias|weakref)_*\s*\(\s*"([^"]+)"')
_WEAK = re.compile(rb"\b_*weak_*\b")


def _other_names(source: SourceText, cursor: Cursor, summary: UnitSummary) -> None:
    """Aliases and weak functions, from the attributes of a declaration."""
    start = cursor.extent.start.offset
    if source.is_system(start):
        return
    head = source.text[start : source.text.find(b"{" if cursor.is_definition() else b";", cursor.location.offset)]
    alias = _ALIAS.search(head)
    if alias is not None:
        summary.aliases[cursor.spelling] = alias.group(1).decode()
    elif _WEAK.search(head) is not None and cursor.spelling not in summary.weak:
        summary.weak.append(cursor.spelling)


def _variable(parsed: Parsed, cursor: Cursor, types: TypeTable) -> VariableFact | None:
    if not mutable(cursor) or not cursor.spelling:
        return None
    storage = cursor.storage_class.name
    defined = storage != "EXTERN" or cursor.has_initialiser
    system = parsed.source.is_system(cursor.location.offset)
    if system and not defined:
        return None
    file, line = parsed.source.locate(cursor.location.offset)
    return VariableFact(
        cursor.spelling, cursor.spelling, storage == "STATIC", None, types.key(cursor.type, cursor.spelling),
        cursor.type.spelling, max(cursor.type.get_size(), 0), file, line, defined, cursor.tls_kind.name != "NONE",
        cursor.has_initialiser,
    )  # fmt: skip


def _function(parsed: Parsed, tree: FunctionTree, summary: UnitSummary, types: TypeTable, unused: bool) -> None:
    source = parsed.source
    file, line = source.locate(tree.cursor.location.offset)
    calls = []
    for call in tree.calls:
        at = source.locate(call.node.start)
        key = "" if call.callee is not None else types.key(call.ctype)
        calls.append(CallFact(call.callee, key, sorted(call.doom), call.tail, *at))
    for local in tree.locals.values():
        if local.cleanup is not None:
            calls.append(CallFact(local.cleanup, "", [], False, *source.locate(local.target)))
    loops = [LoopFact(*source.locate(x.node.start), x.why, x.inner) for x in tree.loops]
    summary.functions.append(
        FunctionFact(
            tree.name, tree.static, tree.noreturn, tree.pinned, file, line, types.key(tree.cursor.type),
            types.key(tree.cursor.result_type), body_digest(parsed, tree), calls, loops, list(tree.label_numbers),
            unused, ends(parsed, tree.body, [x.target for x in tree.locals.values() if x.parameter]),
        )
    )  # fmt: skip


def body_digest(parsed: Parsed, tree: FunctionTree) -> str:
    """SHA-256 of the definition with white space normalised."""
    return hashlib.sha256(parsed.source.words(tree.start, tree.end).encode("utf-8", "surrogateescape")).hexdigest()


def _initialiser_use(
    parsed: Parsed, details: Details, types: TypeTable, cursor: Cursor, init: Node, node: Node
) -> None:
    file, line = parsed.source.locate(node.start)
    pointer = types.key(cursor.type, cursor.spelling) if init is node or init.kind == "unary" else "pointer"
    details.address_uses.append(AddressUse(node.name, file, line, "initialiser", cursor.spelling, pointer))


def _addresses(parsed: Parsed, tree: FunctionTree, details: Details, types: TypeTable) -> None:
    for node in tree.body.evaluated():
        if node.kind != "ref" or node.target_kind not in ("local", "global", "static"):
            continue
        taken = taken_address(parsed, tree, node)
        if taken is None:
            continue
        how, where = _destination(parsed, tree, taken)
        if how == "":
            continue
        local = tree.locals.get(node.target)
        name = f"{tree.name}:{local.key}" if local is not None else node.name
        if taken.kind == "unary":
            pointer = types.key(taken.type)
        else:
            element = taken.type.get_canonical()
            pointer = types.key(element.element_type) + " *" if is_array(element) else types.key(element)
        file, line = parsed.source.locate(node.start)
        details.address_uses.append(AddressUse(name, file, line, how, where, pointer))


def _destination(parsed: Parsed, tree: FunctionTree, node: Node) -> tuple[str, str]:
    """Where an address goes: (how, where) of AddressUse; how == '' if it is only looked through."""
    child, parent = node, tree.parent(node)
    while parent is not None:
        words = parsed.source.words(parent.start, parent.end)[:80]
        if parent.kind in ("paren", "cast", "cond", "elvis", "other", "stmtexpr") or (
            parent.kind == "binary" and parent.op in ("+", "-", ",")
        ):
            child, parent = parent, tree.parent(parent)
            continue
        if parent.kind == "call":
            if parent.children[0] is child:
                return "", ""
            return "argument", parsed.source.words(parent.children[0].start, parent.children[0].end)
        if parent.kind == "binary" and parent.op.endswith("=") and parent.op not in ("==", "!=", "<=", ">="):
            if parent.children[0] is child:
                return "", ""
            left = parent.children[0]
            local = left.kind == "ref" and left.target_kind == "local"
            return ("local" if local else "stored"), parsed.source.words(left.start, left.end)
        if parent.kind in ("var", "list"):
            top: Node | None = parent
            while top is not None and top.kind != "var":
                top = tree.parent(top)
            if top is None:
                return "stored", words
            return ("initialiser" if top.target_kind == "static" else "local"), top.name
        if parent.kind == "return":
            return "returned", tree.name
        if parent.kind == "asm":
            return "stored", "asm"
        return "", ""
    return "", ""


def _pointers(parsed: Parsed, tree: FunctionTree, details: Details, types: TypeTable) -> None:
    """Pointers to records that do not come from a pointer to the same record."""
    for node in tree.body.evaluated():
        for target, value in _conversions(tree, node):
            record = _record(target) or _filled(target, value)
            if record is None or value.kind in ("list", "number"):
                continue
            source_type = value.type.get_canonical()
            if is_array(source_type):
                source_type = source_type.element_type.get_canonical()
                if source_type == record:
                    continue
            elif source_type.kind == TypeKind.POINTER and _record(source_type) == record:
                continue
            elif source_type.kind not in (TypeKind.POINTER,):
                continue
            text = parsed.source.words(value.start, value.end)[:80]
            if text in ("((void *)0)", "NULL", "(void *)0"):
                continue
            file, line = parsed.source.locate(node.start)
            details.pointer_sources.append(PointerSource(types.key(record), file, line, text))


def _filled(target: Any, value: Node) -> Any:
    """The record that a pointer variable leads to when it is filled by its address: ``(void **)&pointer``."""
    target, source = target.get_canonical(), value.type.get_canonical()
    if target.kind != TypeKind.POINTER or source.kind != TypeKind.POINTER:
        return None
    filled = target.get_pointee().get_canonical().kind == TypeKind.POINTER and _record(target.get_pointee()) is None
    return _record(source.get_pointee()) if filled else None


def _conversions(tree: FunctionTree, node: Node) -> Iterator[tuple[Any, Node]]:
    """The values that are converted in this node, and to which type."""
    if node.kind == "binary" and node.op == "=":
        yield node.children[0].type, node.children[-1]
    elif node.kind == "var" and (initial := node.parts.get("init")) is not None:
        yield node.type, initial
    elif node.kind == "cast" and node.children:
        yield node.type, node.children[-1]
    elif node.kind == "return" and node.children:
        yield tree.cursor.result_type, node.children[0]
    elif node.kind == "call" and node.children:
        yield from zip(parameter_types(node), node.children[1:], strict=False)


def _record(ctype: Any) -> Any:
    ctype = ctype.get_canonical()
    if ctype.kind != TypeKind.POINTER:
        return None
    pointee = ctype.get_pointee().get_canonical()
    if pointee.kind != TypeKind.RECORD:
        return None
    return pointee.get_declaration().type.get_canonical()
