"""Which static locals can be declared at file scope."""

from __future__ import annotations

from clang.cindex import CursorKind, TypeKind

from upstare.frontend.functions import FunctionTree
from upstare.frontend.nodes import Node


def movable(tree: FunctionTree, node: Node) -> bool:
    """Whether a declaration of static locals needs nothing that is declared inside its function (other static locals
    aside). It moves as a whole."""
    parent = tree.parent(node)
    declared = [c for c in parent.children if c.kind == "var"] if parent is not None else [node]
    return all(_movable(tree, v) for v in declared)


def _movable(tree: FunctionTree, node: Node) -> bool:
    named = tree.cursor.type.kind == TypeKind.FUNCTIONPROTO  # the function itself can be declared ahead
    inside = range(tree.cursor.location.offset + named, tree.end)
    whole = tree.parent(node) or node
    own = range(whole.start, whole.end)  # a type that is defined there moves with it
    statics = {local.target for local in tree.locals.values() if local.static}
    stack = [node.cursor]
    declaration = node.cursor.type.get_canonical()
    while declaration.kind in (TypeKind.CONSTANTARRAY, TypeKind.INCOMPLETEARRAY, TypeKind.POINTER):
        pointer = declaration.kind == TypeKind.POINTER
        declaration = (declaration.get_pointee() if pointer else declaration.element_type).get_canonical()
    if declaration.kind in (TypeKind.RECORD, TypeKind.ENUM):
        record = declaration.get_declaration()
        tagged = bool(record.spelling) and "(" not in record.spelling
        place = record.location.offset
        if place in inside and (tagged or place not in own or "#pragma" in (tree.pinned or "")):
            return False
    while stack:
        cursor = stack.pop()
        if cursor.kind == CursorKind.ADDR_LABEL_EXPR and not tree.label_numbers:
            return False
        target = cursor.referenced
        if target is not None and target != node.cursor and target.location.offset in inside:
            known = target.location.offset in statics or target.location.offset in own
            if not known and cursor.kind in (CursorKind.DECL_REF_EXPR, CursorKind.TYPE_REF):
                return False
        stack.extend(cursor.get_children())
    return True
