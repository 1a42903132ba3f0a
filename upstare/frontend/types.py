"""Types of a unit as data: canonical keys, layouts, and hashes that decide whether storage can be shared."""

from __future__ import annotations

import hashlib
from typing import Any

from clang.cindex import CursorKind, TypeKind

from upstare.frontend.source import SourceText
from upstare.model.description import Field, Type

_FLOATS = {TypeKind.FLOAT, TypeKind.DOUBLE, TypeKind.LONGDOUBLE, TypeKind.FLOAT128, TypeKind.HALF}
_ARRAYS = {TypeKind.CONSTANTARRAY, TypeKind.INCOMPLETEARRAY, TypeKind.VARIABLEARRAY}
_FUNCTIONS = {TypeKind.FUNCTIONPROTO, TypeKind.FUNCTIONNOPROTO}


def decayed(ctype: Any) -> Any:
    """The type of a parameter or rvalue: canonical, without the qualifiers at the top."""
    return ctype.get_canonical()


def is_array(ctype: Any) -> bool:
    """Whether the canonical type is an array."""
    return ctype.get_canonical().kind in _ARRAYS


def is_variable_array(ctype: Any) -> bool:
    """Whether a variable-length array is anywhere in the type."""
    ctype = ctype.get_canonical()
    while True:
        if ctype.kind == TypeKind.VARIABLEARRAY:
            return True
        if ctype.kind in _ARRAYS:
            ctype = ctype.element_type.get_canonical()
        elif ctype.kind == TypeKind.POINTER:
            ctype = ctype.get_pointee().get_canonical()
        else:
            return False


def is_const(ctype: Any) -> bool:
    """Whether an object of this type cannot change (const itself, or an array of const)."""
    ctype = ctype.get_canonical()
    if ctype.kind in _ARRAYS:  # libclang drops the qualifiers of the elements; the spelling has them
        element = str(ctype.spelling).split("[", 1)[0].rstrip()
        words = element[element.rfind("*") + 1 :].split()
        return "const" in words and "volatile" not in words
    return bool(ctype.is_const_qualified()) and not ctype.is_volatile_qualified()


class TypeTable:
    """Collects the types that are asked for, with everything that they hold by value."""

    def __init__(self, source: SourceText) -> None:
        self._source = source
        self.types: dict[str, Type] = {}
        self._building: set[str] = set()

    def key(self, ctype: Any, hint: str = "") -> str:
        """The key of a type, which is recorded with all that it contains. ``hint`` names anonymous records."""
        ctype = ctype.get_canonical()
        name = self._name(ctype, hint)
        if name not in self.types or not self.types[name].complete:
            if name in self._building:
                return name
            self._building.add(name)
            self.types[name] = self._describe(name, ctype, hint)
            self._building.discard(name)
        return name

    def name(self, ctype: Any) -> str:
        """The key of a type, which need not be described."""
        return self._name(ctype.get_canonical(), "")

    def jump_record(self) -> str:
        """The type of the record of a setjmp (see upstare_rearm)."""
        return self.plain("unsigned long[10]")

    def plain(self, key: str) -> str:
        """The key of one of the few types that variables of the transform's own have."""
        if key == "void *":
            self.types.setdefault(key, Type(key, "pointer", 8, 8, _hash("pointer", "void"), "void"))
            return key
        element = "unsigned long"
        word = self.types.setdefault(element, Type(element, "int", 8, 8, _hash("int", element, 8)))
        if key != element:
            count = int(key.rpartition("[")[2].rstrip("]"))
            digest = _hash("array", count, word.hash)
            self.types.setdefault(key, Type(key, "array", 8 * count, 8, digest, element, count))
        return key

    def _name(self, ctype: Any, hint: str) -> str:
        kind = ctype.kind
        if kind in _ARRAYS:
            element = self._name(ctype.element_type.get_canonical(), hint)
            count = ctype.element_count if kind == TypeKind.CONSTANTARRAY else 0
            return f"{element}[{count}]"
        if kind == TypeKind.POINTER:
            return self._name(ctype.get_pointee().get_canonical(), hint) + " *"
        if kind in _FUNCTIONS:
            result = self._name(ctype.get_result().get_canonical(), hint)
            if kind == TypeKind.FUNCTIONNOPROTO:
                return f"{result} ()"
            arguments = [self._name(a.get_canonical(), hint) for a in ctype.argument_types()]
            if ctype.is_function_variadic():
                arguments.append("...")
            return f"{result} ({', '.join(arguments) or 'void'})"
        if kind in (TypeKind.RECORD, TypeKind.ENUM):
            declaration = ctype.get_declaration()
            spelling = declaration.spelling
            word = {CursorKind.STRUCT_DECL: "struct", CursorKind.UNION_DECL: "union"}.get(declaration.kind, "enum")
            if not spelling or "(" in spelling:
                plain = self._unqualified(ctype)
                if plain and "(" not in plain:
                    return f"{word} {plain}"  # typedef struct { } plain
                return f"{word} <{hint or 'anonymous'}>"
            return f"{word} {spelling.split()[-1]}"
        return self._unqualified(ctype)

    @staticmethod
    def _unqualified(ctype: Any) -> str:
        words = str(ctype.spelling).split(" ")
        while words and words[0] in ("const", "volatile", "restrict"):
            words.pop(0)
        return " ".join(w for w in words if w not in ("struct", "union", "enum")) if words else ""

    def _describe(self, name: str, ctype: Any, hint: str) -> Type:
        kind = ctype.kind
        size, align = max(ctype.get_size(), 0), max(ctype.get_align(), 1)
        if kind in _ARRAYS:
            element = self.key(ctype.element_type, hint)
            count = ctype.element_count if kind == TypeKind.CONSTANTARRAY else 0
            return Type(name, "array", size, align, _hash("array", count, self.types[element].hash), element, count)
        if kind == TypeKind.POINTER:
            target = self._name(ctype.get_pointee().get_canonical(), hint)
            return Type(name, "pointer", size, align, _hash("pointer", target), target)
        if kind in _FUNCTIONS:
            return Type(name, "function", 0, 1, _hash("function", name))
        if kind == TypeKind.RECORD:
            return self._record(name, ctype, size, align)
        if kind == TypeKind.ENUM:
            under = ctype.get_declaration().enum_type.get_canonical()
            return Type(name, "enum", size, align, _hash("enum", name, under.spelling), self.key(under))
        word = "float" if kind in _FLOATS else "bool" if kind == TypeKind.BOOL else "int"
        if kind == TypeKind.VOID:
            word = "void"
        elif kind in (TypeKind.COMPLEX, TypeKind.VECTOR, TypeKind.EXTVECTOR, TypeKind.INVALID):
            word = "other"
        return Type(name, word, size, align, _hash(word, name, size))

    def _record(self, name: str, ctype: Any, size: int, align: int) -> Type:
        declaration = ctype.get_declaration()
        word = "union" if declaration.kind == CursorKind.UNION_DECL else "struct"
        fields: list[Field] = []
        parts: list[object] = [word, name, size]
        for member in ctype.get_fields():
            label = member.spelling if "(" not in member.spelling else ""
            hint = f"{name.split(' ', 1)[1].strip('<>')}.{label or len(fields)}"
            width = member.get_bitfield_width() if member.is_bitfield() else 0
            offset = member.get_field_offsetof()
            key = self.key(member.type, hint)
            fields.append(Field(label, key, offset, width))
            parts += [label, offset, width, self.types[key].hash if key in self.types else key]
        complete = ctype.get_size() >= 0
        typedef = None if declaration.spelling and "(" not in declaration.spelling else name.split(" ", 1)[1]
        file, line = self._source.locate(declaration.location.offset)
        return Type(
            name, word, size, align, _hash(*parts),
            fields=fields, complete=complete, typedef=typedef, file=file, line=line,
        )  # fmt: skip


def _hash(*parts: object) -> str:
    return hashlib.sha256("\0".join(str(p) for p in parts).encode()).hexdigest()[:12]
