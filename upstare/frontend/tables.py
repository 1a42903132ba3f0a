"""What the native walk (walk.c) read of a unit: declarations, types and trees, as rows of numbers.

``Cursor`` and ``Type`` show the rows the way libclang's Python bindings show them, as far as the front end and the
passes ask; the kinds are those of the bindings. No call into libclang is made here.
"""

from __future__ import annotations

import ctypes
from array import array
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from clang.cindex import CursorKind, StorageClass, TLSKind, TypeKind

from upstare.errors import UpstareError
from upstare.frontend.native import Rows, library

# The columns of the rows, as in walk.c.
_TREE = ("kind", "start", "end", "last", "parent", "operator", "name", "type", "declaration")
_DECLARATION = 15
_TYPE = 15
_FIELD = 4

_IS_DEFINITION, _IS_FILE_SCOPE, _HAS_INITIALISER = 1, 2, 4
_IS_CONST, _IS_VOLATILE, _IS_RESTRICT, _IS_VARIADIC = 1, 2, 4, 8


class Place(NamedTuple):
    """A place in the text."""

    offset: int


class Extent(NamedTuple):
    """A stretch of the text."""

    start: Place
    end: Place


class Field(NamedTuple):
    """A member of a struct or union."""

    spelling: str
    type: Type
    offset: int  # in bits
    width: int  # of a bit-field, else -1

    def is_bitfield(self) -> bool:
        """Whether it is a bit-field."""
        return self.width >= 0

    def get_bitfield_width(self) -> int:
        """In bits."""
        return self.width

    def get_field_offsetof(self) -> int:
        """In bits."""
        return self.offset


class Type:
    """A type of a unit. There is one object for each, so they can be compared with ``is``."""

    __slots__ = (
        "kind", "spelling", "_tables", "_canonical", "_pointee", "_element", "_count", "_size", "_align", "_flags",
        "_result", "_arguments", "_n_arguments", "_declaration", "_fields", "_n_fields",
    )  # fmt: skip

    def __init__(self, tables: Tables, row: Sequence[int]) -> None:
        self._tables = tables
        kind, name, *rest = row
        self.kind = TypeKind.from_id(kind)
        self.spelling = tables.name(name)
        (
            self._canonical, self._pointee, self._element, self._count, self._size, self._align, self._flags,
            self._result, self._arguments, self._n_arguments, self._declaration, self._fields, self._n_fields,
        ) = rest  # fmt: skip

    def get_canonical(self) -> Type:
        """The type without typedefs."""
        return self._tables.type(self._canonical)

    def get_pointee(self) -> Type:
        """What a (canonical) pointer type points to."""
        return self._tables.type(self._pointee)

    @property
    def element_type(self) -> Type:
        """Of a (canonical) array, vector or complex type."""
        return self._tables.type(self._element)

    @property
    def element_count(self) -> int:
        """Of an array or vector of known length."""
        return self._count

    def get_size(self) -> int:
        """In bytes; negative if it is not known."""
        return self._size

    def get_align(self) -> int:
        """In bytes; negative if it is not known."""
        return self._align

    def is_const_qualified(self) -> bool:
        """Whether ``const`` is at the top of the type."""
        return bool(self._flags & _IS_CONST)

    def is_volatile_qualified(self) -> bool:
        """Whether ``volatile`` is at the top of the type."""
        return bool(self._flags & _IS_VOLATILE)

    def is_restrict_qualified(self) -> bool:
        """Whether ``restrict`` is at the top of the type."""
        return bool(self._flags & _IS_RESTRICT)

    def is_function_variadic(self) -> bool:
        """Whether a function type ends in ``...``."""
        return bool(self._flags & _IS_VARIADIC)

    def get_result(self) -> Type:
        """What a function of this type returns."""
        return self._tables.type(self._result)

    def argument_types(self) -> list[Type]:
        """The parameters of a function type."""
        rows = self._tables.lists[self._arguments : self._arguments + self._n_arguments]
        return [self._tables.type(row) for row in rows]

    def get_declaration(self) -> Cursor:
        """The declaration of a struct, union, enum or typedef."""
        return self._tables.declaration(self._declaration)

    def get_fields(self) -> list[Field]:
        """The members of a (canonical) struct or union, without those of anonymous members."""
        return [self._tables.field(row) for row in range(self._fields, self._fields + self._n_fields)]


class Cursor:
    """A declaration (one object for each), or a node of a tree. What is a node has children."""

    __slots__ = ("kind", "_tables", "_declaration", "_tree")

    def __init__(self, tables: Tables, kind: int, declaration: int, tree: int) -> None:
        self.kind = CursorKind.from_id(kind)
        self._tables = tables
        self._declaration = declaration  # row, or -1 if it declares nothing
        self._tree = tree  # row, or -1 if the walk was not here

    def _column(self, column: int) -> int:
        return self._tables.declarations[self._declaration * _DECLARATION + column] if self._declaration >= 0 else -1

    @property
    def spelling(self) -> str:
        """The name."""
        if self._declaration >= 0:
            return self._tables.name(self._column(1))
        return self._tables.name(self._tables.trees["name"][self._tree])

    @property
    def location(self) -> Place:
        """Of the name that is declared."""
        return Place(max(self._column(2), 0))

    @property
    def extent(self) -> Extent:
        """All of its text."""
        if self._declaration >= 0:
            return Extent(Place(self._column(3)), Place(self._column(4)))
        trees = self._tables.trees
        return Extent(Place(trees["start"][self._tree]), Place(trees["end"][self._tree]))

    @property
    def storage_class(self) -> Any:
        """Of a declaration."""
        return StorageClass.from_id(max(self._column(5), 0))

    @property
    def tls_kind(self) -> Any:
        """Of a variable."""
        return TLSKind.from_id(max(self._column(6), 0))

    @property
    def type(self) -> Type:
        """Of an expression, or of what is declared."""
        if self._declaration >= 0:
            return self._tables.type(self._column(7))
        return self._tables.type(self._tables.trees["type"][self._tree])

    def is_definition(self) -> bool:
        """Whether a declaration is a definition, too."""
        return self._declaration >= 0 and bool(self._column(8) & _IS_DEFINITION)

    @property
    def is_file_scope(self) -> bool:
        """Whether a declaration stands at file scope."""
        return bool(self._column(8) & _IS_FILE_SCOPE)

    @property
    def has_initialiser(self) -> bool:
        """Whether this is a variable with an initialiser."""
        return self._declaration >= 0 and bool(self._column(8) & _HAS_INITIALISER)

    @property
    def result_type(self) -> Type:
        """What a function returns."""
        return self._tables.type(self._column(9))

    @property
    def enum_type(self) -> Type:
        """The integer type under an enum."""
        return self._tables.type(self._column(10))

    @property
    def enum_value(self) -> str:
        """The value of an enumerator, in decimal digits."""
        return self._tables.name(self._column(14))

    def get_arguments(self) -> list[Cursor]:
        """The parameters of a function."""
        begin, count = self._column(11), self._column(12)
        return [self._tables.declaration(row) for row in self._tables.lists[begin : begin + count]]

    @property
    def referenced(self) -> Cursor | None:
        """The declaration that a name in an expression or in a type means."""
        row = self._declaration if self._declaration >= 0 else self._tables.trees["declaration"][self._tree]
        return self._tables.declaration(row) if row >= 0 else None

    @property
    def tree(self) -> int:
        """The row in the trees, -1 if there is none."""
        return self._tree if self._tree >= 0 else self._column(13)

    def get_children(self) -> Iterator[Cursor]:
        """The nodes below; none where the walk was not (system headers)."""
        tables, at = self._tables, self.tree
        if at < 0:
            return
        last = tables.trees["last"]
        end, at = last[at], at + 1
        while at < end:
            yield tables.cursor(at)
            at = last[at]


class Tables:
    """The rows of one unit."""

    def __init__(self, text: bytes, arguments: Sequence[str], origins: Sequence[int], system: Sequence[bool]) -> None:
        """Read the unit with libclang.

        Args:
            text: preprocessed.
            arguments: for the parser.
            origins: offsets in the text, the first one 0, at which another file begins or goes on.
            system: whether what follows there is of a system header; its functions are not walked.

        Raises:
            UpstareError: libclang cannot read it at all.
        """
        walk = library()
        words = (ctypes.c_char_p * len(arguments))(*[a.encode() for a in arguments])
        places = array("i", origins)
        unit = walk.read_unit(
            text, len(text), words, len(arguments), places.buffer_info()[0], bytes(system), len(places)
        )
        if not unit:
            raise UpstareError("libclang could not read the preprocessed text")
        try:
            rows = unit.contents
            flat = _numbers("i", rows.trees, len(_TREE))
            self.trees = {name: flat[i :: len(_TREE)] for i, name in enumerate(_TREE)}
            self.declarations = _numbers("i", rows.declarations, _DECLARATION)
            self._types = _numbers("q", rows.types, _TYPE)
            self._fields = _numbers("q", rows.fields, _FIELD)
            self.lists = _numbers("i", rows.lists, 1)
            self._names = ctypes.string_at(rows.text.rows, rows.text.count).split(b"\0") if rows.text.count else []
            top = _numbers("i", rows.top, 1)
            errors = _numbers("i", rows.errors, 2)
        finally:
            walk.free_unit(unit)
        self._known_names: list[str | None] = [None] * len(self._names)
        self._known_types: list[Type | None] = [None] * (len(self._types) // _TYPE)
        self._known_declarations: list[Cursor | None] = [None] * (len(self.declarations) // _DECLARATION)
        self.top = [self.declaration(row) for row in top if row >= 0]
        self.errors = sorted((errors[i], self.name(errors[i + 1])) for i in range(0, len(errors), 2))

    def name(self, row: int) -> str:
        """A name or spelling; '' for row -1."""
        if row < 0:
            return ""
        known = self._known_names[row]
        if known is None:
            known = self._known_names[row] = self._names[row].decode("utf-8", "surrogateescape")
        return known

    def type(self, row: int) -> Type:
        """The type of a row; that of -1 is invalid."""
        if row < 0:
            return self._no_type()
        known = self._known_types[row]
        if known is None:
            known = self._known_types[row] = Type(self, self._types[row * _TYPE : (row + 1) * _TYPE])
        return known

    def _no_type(self) -> Type:
        return Type(self, [0, -1, -1, -1, -1, -1, -1, -1, 0, -1, 0, 0, -1, 0, 0])

    def declaration(self, row: int) -> Cursor:
        """The declaration of a row; -1 for none."""
        if row < 0:
            return Cursor(self, CursorKind.NO_DECL_FOUND.value, -1, -1)
        known = self._known_declarations[row]
        if known is None:
            kind = self.declarations[row * _DECLARATION]
            known = self._known_declarations[row] = Cursor(self, kind, row, -1)
        return known

    def field(self, row: int) -> Field:
        """The member of a row."""
        name, kind, offset, width = self._fields[row * _FIELD : (row + 1) * _FIELD]
        return Field(self.name(name), self.type(kind), offset, width)

    def cursor(self, row: int) -> Cursor:
        """The node of a row of the trees."""
        kind = self.trees["kind"][row]
        declaration = self.trees["declaration"][row]
        if declaration < 0 or self.declarations[declaration * _DECLARATION] != kind:
            return Cursor(self, kind, -1, row)
        known = self.declaration(declaration)
        return known if known.tree == row else Cursor(self, kind, declaration, row)  # a struct is met once more


def _numbers(code: str, rows: Rows, width: int) -> array[int]:
    result = array(code)
    if rows.count:
        result.frombytes(ctypes.string_at(rows.rows, rows.count * width * result.itemsize))
    return result
