"""The layout of frame data: which variables have a slot, where, and how a point reaches them."""

from __future__ import annotations

from dataclasses import dataclass

from clang.cindex import TypeKind

from transforms import ir
from transforms.normal_form import NormalForm
from transforms.temporaries import Temporary
from upstare.frontend.functions import Local
from upstare.frontend.types import TypeTable, is_array

KEPT_HEADER = 16
_MANY_POINTS = 128
_REGISTERS = 6  # that calls keep
KEPT = frozenset({"kept", "arguments", "chain", "sized"})  # slots with a header
REMOTE = frozenset({"kept", "arguments", "sized"})  # objects that the resume clone has elsewhere
FLOATING = {TypeKind.FLOAT, TypeKind.DOUBLE}
GENERAL = {
    TypeKind.BOOL, TypeKind.CHAR_U, TypeKind.UCHAR, TypeKind.USHORT, TypeKind.UINT, TypeKind.ULONG,
    TypeKind.ULONGLONG, TypeKind.CHAR_S, TypeKind.SCHAR, TypeKind.SHORT, TypeKind.INT, TypeKind.LONG,
    TypeKind.LONGLONG, TypeKind.POINTER, TypeKind.ENUM, TypeKind.WCHAR,
}  # fmt: skip
_OWN = {"arguments": (24, "unsigned long[3]"), "chain": (0, "void *"), "length": (8, "unsigned long")}


@dataclass(eq=False)
class FrameSlot:
    """A variable with a place in the frame data. ``how``: 'general', 'floating' (value slots that fit a register),
    'memory' (value slot of any size), 'kept', 'arguments' (kept: a list of the function's own variable arguments) or
    'chain' (a value that leads to blocks which are kept) or 'sized' (a variable-length array: kept, its size is in the
    slot and not its bytes)."""

    target: int
    key: str
    c_name: str
    size: int
    offset: int
    how: str
    type_key: str
    type_name: str
    variable: Local | Temporary


class Frame:
    """All slots of a function, after liveness.

    Attributes:
        crowded: To the compiler the operand of a point is a use like any other; where many points compete for few
            registers, a variable that seldom changes but is live at all of them drives out others that are used. There
            the points take their operands aside, at a label that the compiler expects to be seldom reached. (clang
            takes no jump to a label in the scope of a variable-length array.)
    """

    def __init__(self, form: NormalForm, live: dict[ir.Point, frozenset[int]], types: TypeTable) -> None:
        self.form = form
        self.slots: dict[int, FrameSlot] = {}
        self.size = 0
        self._sized: list[FrameSlot] = []
        types_spelled = form.types_spelled()
        names: dict[str, int] = {}
        self.c_names: dict[int, str] = {}
        for local in form.tree.locals.values():
            if local.static:
                continue
            count = names.get(local.name, 0)
            if count == 0 and not local.parameter and local.name in types_spelled:
                count = 1  # for example ``user *user`` of a struct without a tag: the type is spelled in its scope
            names[local.name] = count + 1
            self.c_names[local.target] = local.name if count == 0 else f"{local.name}__upstare_{count + 1}"
        for temporary in form.temporaries.values():
            self.c_names[temporary.target] = temporary.name
        lasting = [local for local in form.tree.locals.values() if local.kept and not local.static]
        always = [t for t in form.temporaries.values() if t.kept or t.own]
        for point in form.points:
            members = {
                t for t in live.get(point, frozenset()) if not form.variable(t).kept and self._in_scope(t, point)
            }
            for local in lasting:
                if local.scope[0] <= point.offset < local.scope[1]:
                    members.add(local.target)
            members.update(t.target for t in always)
            members.update(t.target for t in form.records)
            point.live = sorted(members, key=lambda t: (t < 0, abs(t)))
            for target in point.live:
                if target not in self.slots:
                    self._add(target, types)

        most = max((len(point.live) for point in form.points), default=0)
        self.crowded = len(form.points) >= _MANY_POINTS and most > _REGISTERS and not self._sized

    def sized(self) -> list[FrameSlot]:
        """Those of variable-length arrays: the resume clone goes on using their memory when they are out of scope."""
        return self._sized

    def _in_scope(self, target: int, point: ir.Point) -> bool:
        variable = self.form.variable(target)
        return isinstance(variable, Temporary) or variable.scope[0] <= point.offset < variable.scope[1]

    def _add(self, target: int, types: TypeTable) -> None:
        variable = self.form.variable(target)
        if isinstance(variable, Local):
            ctype, key = variable.ctype, variable.key
            canonical = ctype.get_canonical()
            shown = ctype.spelling
            how = "kept" if variable.kept else "general"
            if variable.parameter and is_array(ctype):
                pointer = canonical.element_type
                self._place(target, key, 8, 8, how, types.key(pointer) + " *", f"{pointer.spelling} *", variable)
                return
            if canonical.kind in (TypeKind.FUNCTIONPROTO, TypeKind.FUNCTIONNOPROTO):
                self._place(target, key, 8, 8, how, types.key(ctype) + " *", shown, variable)
                return
        else:
            key, shown = variable.name, variable.c_type
            if variable.jump is not None:
                self._place(target, variable.jump, 80, 8, "kept", types.jump_record(), "record of setjmp", variable)
                return
            if variable.own:
                size, type_key = _OWN[variable.own]
                how = "general" if variable.own == "length" else variable.own
                self._place(target, key, size, 8, how, types.plain(type_key), shown, variable)
                return
            if variable.ctype is None:
                self._place(target, key, 4, 4, "general", "int", "int", variable)
                return
            canonical = variable.ctype
            if is_array(canonical) and not variable.kept:
                self._place(target, key, 8, 8, "general", types.key(canonical.element_type) + " *", shown, variable)
                return
            if canonical.kind in (TypeKind.FUNCTIONPROTO, TypeKind.FUNCTIONNOPROTO):
                self._place(target, key, 8, 8, "general", types.key(canonical) + " *", shown, variable)
                return
        size, align = max(canonical.get_size(), 0), max(canonical.get_align(), 1)
        if target in self.form.sized:
            size, how = 0, "sized"
        elif variable.kept:
            how = "kept"
        elif canonical.kind in FLOATING:
            how = "floating"
        elif canonical.kind in GENERAL:
            how = "general"
        else:
            how = "memory"
        function = self.form.tree.name
        self._place(target, key, size, align, how, types.key(canonical, f"{function}.{key}"), shown, variable)

    def _place(
        self,
        target: int,
        key: str,
        size: int,
        align: int,
        how: str,
        type_key: str,
        shown: str,
        variable: Local | Temporary,
    ) -> None:
        header = KEPT_HEADER if how in KEPT else 0
        align = max(align, header, 1)
        offset = (self.size + align - 1) // align * align
        slot = FrameSlot(target, key, self.c_names[target], size, offset, how, type_key, shown, variable)
        self.slots[target] = slot
        if how == "sized":
            self._sized.append(slot)
        self.size = offset + size + header
