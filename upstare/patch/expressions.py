"""The C expressions of a mapping file, in which ``old.x`` is a field or local of the old version."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from pycparser import c_ast, c_generator, c_parser

from upstare.errors import UsageError
from upstare.patch.user import TYPEDEFS


def names_in(text: str, subject: str) -> set[str]:
    """The names after ``old.``. Raises UsageError (about ``subject``) if the text is not a C expression."""
    return {node.field.name for node in _references(_parse(text, subject))} if _mentions_old(text) else set()


def over_old(text: str, members: Mapping[str, str], subject: str) -> str:
    """The expression with ``old.x`` made ``old->`` and the member that holds x.

    Raises:
        UsageError: it is not a C expression, or names something that is not in ``members``.
    """
    if not _mentions_old(text):
        return text
    value = _parse(text, subject)
    for node in list(_references(value)):
        member = members.get(node.field.name)
        if member is None:
            known = ", ".join(f"old.{name}" for name in sorted(members)) or "nothing"
            raise UsageError(f"{subject}: {text!r}: there is no old.{node.field.name} here", hint=f"there is {known}")
        node.type, node.field = "->", c_ast.ID(member)
    printed = str(c_generator.CGenerator().visit(value))
    return f"{{{printed}}}" if isinstance(value, c_ast.InitList) else printed


def _mentions_old(text: str) -> bool:
    return re.search(r"\bold\b", text) is not None


def _parse(text: str, subject: str) -> Any:
    """The tree of an expression, or of a list of initialisers in braces."""
    try:
        tree = c_parser.CParser().parse(f"{TYPEDEFS} void *value[] = {{ {text} }};")
        (value,) = tree.ext[-1].init.exprs
    except (c_parser.ParseError, ValueError, AttributeError) as error:
        raise UsageError(f"{subject}: {text!r} is not a C expression: {error}") from error
    return value


def _references(node: Any) -> Iterator[Any]:
    if isinstance(node, c_ast.StructRef) and node.type == "." and getattr(node.name, "name", None) == "old":
        yield node
        return
    for _, child in node.children():
        yield from _references(child)
