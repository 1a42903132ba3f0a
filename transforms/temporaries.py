"""Variables that the transform makes, and C spellings for their types."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from clang.cindex import TypeKind

from transforms import ir
from upstare.frontend.types import is_const


class Pin(Exception):
    """This function cannot be brought into normal form; the message says where and why."""


@dataclass(eq=False)
class Temporary:
    """A variable that the transform made. ``target`` is negative."""

    target: int
    name: str
    ctype: Any
    c_type: str
    kept: bool = False
    by_copy: bool = False  # has constant members: cannot be assigned, only copied
    jump: str | None = None  # the record of a setjmp: what identifies it
    own: str = ""  # what the transform has it for ('arguments', 'chain'); '': the value of part of an expression
    initial: str = ""  # statement of the fast clone that gives it its first value


_LIST_TAG = "struct __va_list_tag"  # the front end's name for what has none that a program can use


def c_type(ctype: Any) -> str:
    """A spelling of a type that declares an assignable object: canonical, unqualified at the top, decayed."""
    return _c_type(ctype).replace(_LIST_TAG, "__typeof__((*(__builtin_va_list *)0)[0])")


def _c_type(ctype: Any) -> str:
    ctype = ctype.get_canonical()
    if ctype.kind in (TypeKind.INCOMPLETEARRAY, TypeKind.CONSTANTARRAY, TypeKind.VARIABLEARRAY):
        return f"__typeof__({ctype.element_type.spelling}) *"
    if ctype.kind in (TypeKind.FUNCTIONPROTO, TypeKind.FUNCTIONNOPROTO):
        return f"__typeof__({ctype.spelling}) *"
    if ctype.is_const_qualified() or ctype.is_volatile_qualified() or ctype.is_restrict_qualified():
        if ctype.kind not in (TypeKind.RECORD, TypeKind.VOID):
            return f"__typeof__(({ctype.spelling})0)"  # the type of a cast has no qualifiers at the top
    return f"__typeof__({spelling(ctype)})"


def copy_of(hole: ir.Ref) -> list[ir.Segment]:
    """``hole`` takes the bytes of __upstare_v."""
    return ["__builtin_memcpy((void *)&", hole, ", (const void *)&__upstare_v, sizeof __upstare_v);"]


def has_constant_member(ctype: Any) -> bool:
    """Whether a record type cannot be assigned because something in it is const."""
    ctype = ctype.get_canonical()
    while ctype.kind in (TypeKind.CONSTANTARRAY, TypeKind.INCOMPLETEARRAY):
        ctype = ctype.element_type.get_canonical()
    if ctype.kind != TypeKind.RECORD:
        return False
    return any(f.type.get_canonical().is_const_qualified() or is_const(f.type) or has_constant_member(f.type)
               for f in ctype.get_fields())  # fmt: skip


def spelling(ctype: Any) -> str:
    """The canonical spelling without the qualifiers at the top."""
    text = str(ctype.get_canonical().spelling)
    if ctype.kind == TypeKind.POINTER or "*" in text:
        while True:
            for word in ("const", "volatile", "restrict", "__restrict"):
                if text.endswith(word):
                    text = text[: -len(word)].rstrip()
                    break
            else:
                return text.replace(" __attribute__((noreturn))", "")
    words = [w for w in text.split(" ") if w not in ("const", "volatile", "restrict")]
    return " ".join(words)
