"""The two compiled forms of a function, printed from its normal form.

The *fast clone* is the function itself plus its points. The *resume clone* has no parameters: it takes the frame data,
jumps to the continuation, restores what is live there, and from then on runs the same statements. Kept objects stay
where they are; the resume clone reaches them through pointers::

    fast clone                          resume clone
    struct s x; int n;                  struct s x; struct s *p_x = &x; int n;
    n = f(&x); POINT(1: n, x)           if (0) { r1: p_x = ...; n = ...; if (!phase) goto c1; n = callee(); }
                                        else n = f(&(*p_x)); POINT(1: n, *p_x) c1: ;
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

from clang.cindex import TypeKind

from transforms import ir
from transforms.copies import again, copy_head, declare_copies
from transforms.frames import FLOATING, GENERAL, REMOTE, Frame
from transforms.labels import label_table
from transforms.normal_form import NormalForm
from transforms.points import point_text
from transforms.restore import Restores
from transforms.temporaries import Temporary, c_type, copy_of
from upstare.driver.elf import SECTION_RESUME as RESUME_SECTION
from upstare.frontend.functions import Local
from upstare.frontend.types import is_variable_array

ARRAY_ALIGN = 64  # of variable-length arrays in resume clones


class Printer:
    """Prints statements with the user's own line numbers."""

    def __init__(
        self, form: NormalForm, frame: Frame, body: list[ir.Statement], identity: str, resume: bool,
        copy: bool = False,
    ) -> None:  # fmt: skip
        self.body = body
        self.form, self.frame, self.identity, self.resume = form, frame, identity, resume
        self.apart = resume or copy  # from the code that usually runs: copies.py
        self.source = form.source
        self.out: list[str] = []
        self.file, self.line = "", -1
        self._own: frozenset[int] = frozenset()

    @cached_property
    def restores(self) -> Restores:
        """How the resume clone begins."""
        return Restores(self.frame, self.form.points, self.body)

    @cached_property
    def _remote_locals(self) -> list[Local]:
        locals_ = self.form.tree.locals.values()
        return [local for local in locals_ if local.node is not None and self._remote(local.target)]

    # ---- lines ---------------------------------------------------------------------------------------------------

    def at(self, offset: int) -> None:
        """Make the next text appear at the user's line of ``offset``."""
        name, line = self.source.locate(offset)
        if name == self.file and self.line <= line < self.line + 6:
            self.out.append("\n" * (line - self.line))
        else:
            quoted = name.replace("\\", "\\\\").replace('"', '\\"')
            self.out.append(f'\n# {line} "{quoted}"\n')
        self.file, self.line = name, line

    def put(self, text: str) -> None:
        """Text without line ends."""
        self.out.append(text)

    def text(self) -> str:
        return "".join(self.out)

    # ---- expressions ---------------------------------------------------------------------------------------------

    def render(self, expr: ir.Expr) -> str:
        """The text of an expression in this clone."""
        return "".join(self._segment(s) for s in expr.segments)

    def _segment(self, segment: ir.Segment) -> str:
        if isinstance(segment, str):
            return segment
        if isinstance(segment, ir.Ref):
            return self.variable(segment.target)
        if isinstance(segment, ir.Name):
            return (
                self.frame.c_names.get(segment.target) or self.form.tree.locals[segment.target].name
                if segment.target in self.form.tree.locals
                else self.source.flat(segment.target, self.source.word_end(segment.target))
            )
        if isinstance(segment, ir.Shared):
            if not self.resume and not self.form.decisions.twin:
                return segment.name
            return f"(*(__typeof__({segment.name}) *){segment.alias})"
        if isinstance(segment, ir.Either):
            return "".join(self._segment(s) for s in (segment.resume if self.resume else segment.fast))
        if isinstance(segment, ir.FastOnly):
            return "" if self.resume else segment.text
        if isinstance(segment, ir.Copied):
            return again(segment.name) if self.apart else segment.name
        assert isinstance(segment, ir.FunctionName)
        return f"__upstare_name_{self.form.tree.name}" if self.apart else segment.word

    def variable(self, target: int) -> str:
        """How the value of a variable is written in this clone."""
        name = self.frame.c_names[target]
        if self.resume and self._remote(target) and target not in self._own:
            return f"(*({self._pointed_to(target, '(*)')})__upstare_p_{name})"
        return name

    def _pointed_to(self, target: int, pointer: str) -> str:
        """The type of (``(*)``: of a pointer to) an object that is elsewhere."""
        name = self.frame.c_names[target]
        lengths = self.form.sized.get(target)
        if lengths is None:
            return f"__typeof__({name}) {pointer.strip('()')}"
        return f"__typeof__({name}{'[0]' * len(lengths)}) {pointer}{''.join(f'[{n}]' for n in lengths)}"

    def _remote(self, target: int) -> bool:
        return target in self.frame.slots and self.frame.slots[target].how in REMOTE

    # ---- statements ----------------------------------------------------------------------------------------------

    def statements(self, items: Sequence[ir.Statement]) -> None:
        for item in items:
            self.statement(item)

    def statement(self, s: ir.Statement) -> None:
        if not isinstance(s, ir.Block):
            self.at(s.offset)
        match s:
            case ir.Simple() | ir.AsmJump():
                self.put(self.render(s.expr) + "; ")
            case ir.Declare():
                self._declare(s)
            case ir.CallPoint():
                self._call(s)
            case ir.SetJump():
                self._set_jump(s)
            case ir.PointHere():
                self._point(s.point)
                if self.resume:
                    self.put(f"if (0) {{ {self._restore(s.point)}}} ")
            case ir.Block():
                self.put("{ ")
                self.statements(s.items)
                self.put("} ")
            case ir.If():
                self.put(f"if ({self.render(s.cond)}) {{ ")
                self.statements(s.then)
                self.put("} ")
                if s.otherwise is not None:
                    self.put("else { ")
                    self.statements(s.otherwise)
                    self.put("} ")
            case ir.Loop():
                self._loop(s)
            case ir.Switch():
                if self.resume:
                    self.put(self.restores.before(s))
                self.put(f"switch ({self.render(s.cond)}) {{ ")
                self.statements(s.body)
                self.put("} ")
            case ir.Mark():
                self.put(self.render(s.expr) + "; ")
                if self.resume:
                    self._enter(s)
            case ir.Jump():
                self.put(f"goto {s.name}; " if s.kind == "goto" else f"{s.kind}; ")
            case ir.ComputedJump():
                self.put(f"goto *{self.render(s.expr)}; ")
            case ir.Return():
                self.put("return; " if s.expr is None else f"return {self.render(s.expr)}; ")
            case ir.Raw():
                self.put(s.text + " ")

    def _declare(self, s: ir.Declare) -> None:
        self._own = frozenset(s.variables)  # in its own initialiser a variable is the new storage
        self.put(self.render(s.expr) + "; ")
        self._own = frozenset()
        if self.resume:
            for target in s.variables:
                if target in s.lengths:
                    self._make_room(target, s.lengths[target])
                elif self._remote(target):
                    name = self.frame.c_names[target]
                    self.put(f"__upstare_p_{name} = (void *)&{name}; ")

    def _make_room(self, target: int, lengths: ir.Expr) -> None:
        """A variable-length array gets its memory: that of the one before, if it is enough."""
        name = self.frame.c_names[target]
        room, need = f"__upstare_z_{name}", f"sizeof({self._pointed_to(target, '')})"
        self.put(
            f"{self.render(lengths)}if ({need} > {room}) {{ {room} = {need} > 2 * {room} ? {need} : 2 * {room}; "
            f"__upstare_p_{name} = __builtin_alloca_with_align({room}, {8 * ARRAY_ALIGN}); }} "
        )

    def _enter(self, mark: ir.Mark) -> None:
        """A jump into the scope of a kept object passes its declaration by."""
        jumps = self.form.jumps_to(mark) if self._remote_locals else []
        for local in self._remote_locals:
            begin, end = local.scope
            if begin <= mark.offset < end and any(not begin <= j < end for j in jumps):
                name = self.frame.c_names[local.target]
                self.put(f"if (!__upstare_p_{name}) __upstare_p_{name} = (void *)&{name}; ")

    def _call(self, s: ir.CallPoint) -> None:
        n = s.point.number
        variable = self.form.variable(s.result) if s.result is not None else None
        assign, end = f"{self.variable(s.result)} = " if s.result is not None else "", "; "
        if isinstance(variable, Temporary) and variable.by_copy:
            assign = f"{{ {variable.c_type} __upstare_v = "
            end = f"; {self.render(ir.Expr(copy_of(ir.Ref(variable.target))))} }} "
        if s.point.tail and not self.resume:
            self.put(f"return {self.render(s.call)}; " if _returns(self.form) else f"{self.render(s.call)}; return; ")
            return
        call = f"{assign}{self.render(s.call)}{end}"
        if self.resume:
            result = s.point.returns
            callee = f"(({result or 'void'} (*)(void))upstare_resume_callee())()"
            self.put(
                f"if (0) {{ {self._restore(s.point)}if (!__upstare_phase) goto upstare_c{n}; "
                f"{assign}{callee}{end}}} else {call}"
            )
        else:
            self.put(call)
        self._point(s.point)
        if self.resume:
            self.put(f"upstare_c{n}: ; ")

    def _point(self, point: ir.Point) -> None:
        line = self.source.locate(point.shown)[1]
        decisions = self.form.decisions
        self.put(
            point_text(
                point, self.frame, self.identity, line, decisions.scheme, resume=self.resume, clones=decisions.clones
            )
            + " "
        )

    def _restore(self, point: ir.Point) -> str:
        return self.restores.text(point) + (self._arm() if self.form.records else "")

    def _arm(self) -> str:
        """The buffers that lead into the frame lead into this clone from now on.

        This stands at each continuation, not once for all: a variable has no value any more when its scope is left.
        """
        parts = ["{ unsigned long __upstare_env[32]; "]
        for temporary in self.form.records:
            record = self.variable(temporary.target)
            parts.append(
                f"if ({record}[0]) {{ __upstare_again = __upstare_setjmp(__upstare_env); "
                f"if (__upstare_again) goto upstare_j{-temporary.target}; upstare_rearm({record}, __upstare_env); }} "
            )
        return "".join([*parts, "upstare_resume_ready(); } "])

    def _set_jump(self, s: ir.SetJump) -> None:
        record, result = self.variable(s.record), self.variable(s.result)
        self.put(f"{record}[0] = (unsigned long)({self.render(s.buffer)}); {result} = {self.render(s.call)}; ")
        if self.resume:
            self.put(f"if (0) {{ upstare_j{-s.record}: ; {result} = __upstare_again; }} ")
        self.put(f"__upstare_jumped({record}, {result}, {int(s.whole)}); ")

    def _loop(self, s: ir.Loop) -> None:
        label = f"{s.label}: ; " if s.label is not None else ""
        test = self.render(s.cond) if s.cond is not None else ""
        inner, outer = ("{ ", "} ") if label else ("", "")  # it must not be in the scope of a variable-length array
        if s.kind == "do":
            self.put("do { " + inner)
            self.statements(s.body)
            self.put(outer + label)
            self.statements(s.before)
            self.put(f"}} while ({test}); ")
            return
        inline_step = not s.step and s.label is None
        increment = self.render(s.increment) if s.increment is not None else ""
        if not s.before and inline_step:
            self.put(f"for (; {test}; {increment}) {{ ")
            self.statements(s.body)
            self.put("} ")
            return
        self.put(f"for (; ; {increment if inline_step else ''}) {{ ")
        self.statements(s.before)
        if s.cond is not None:
            self.put(f"if (!({test})) break; ")
        self.put(inner)
        self.statements(s.body)
        self.put(outer)
        if not inline_step:
            self.put(label)
            self.statements(s.step)
            self.put(f"{increment}; ")
        self.put("} ")


def _returns(form: NormalForm) -> str | None:
    """The C type that the function returns, or None for void."""
    result = form.tree.cursor.result_type.get_canonical()
    return None if result.kind == TypeKind.VOID else c_type(result)


def _dummy_return(result: str | None, kind: TypeKind) -> str:
    """Where a frame comes down, with a value that nobody reads.

    To the compiler it is unknown: where it is one that the function returns itself, it would make one of both returns;
    where it is left open, the variable of the result would be live at every point.
    """
    dummy = "__upstare_dummy"
    if result is None:
        value = "return;"
    elif kind in (TypeKind.RECORD, TypeKind.VECTOR, TypeKind.EXTVECTOR):
        value = f"{result} {dummy}; return {dummy};"
    elif kind in GENERAL or kind in FLOATING:
        register = "a" if kind in GENERAL else "x"
        value = f'{{ {result} {dummy}; __asm__ volatile("" : "={register}"({dummy})); return {dummy}; }}'
    else:
        value = "return 0;"
    return f"if (0) {{ upstare_ret: __attribute__((__cold__)); {value} }} "


def print_clones(form: NormalForm, frame: Frame, body: list[ir.Statement], identity: str) -> tuple[str, str]:
    """The new body of the function (braces included), and what follows it: its resume clone, if it gets one, and its
    copy if any."""
    tree = form.tree
    result = _returns(form)
    dummy = _dummy_return(result, tree.cursor.result_type.get_canonical().kind)
    implicit = "return 0; " if tree.name == "main" and result is not None else ""
    externs = " ".join(form.externs.values())
    temporaries = " ".join(f"{t.c_type} {t.name};" for t in form.temporaries.values())

    first = " ".join(t.initial for t in form.temporaries.values() if t.initial)

    # The label of the dummy return must not be in the scope of a variable-length array.
    inner, outer = ("{ ", "} ") if any(is_variable_array(v.ctype) for v in tree.locals.values()) else ("", "")

    def as_it_is(copy: bool) -> str:
        fast = Printer(form, frame, body, identity, resume=False, copy=copy)
        fast.at(tree.body.start)
        fast.put("{ " + label_table(tree) + externs + " " + temporaries + " " + first + " ")
        for record in form.records:
            fast.put(f"{record.name}[0] = 0; ")
        fast.put(inner)
        fast.statements(body)
        fast.at(max(tree.body.end - 1, tree.body.start))
        fast.put(implicit + outer + dummy + "}")
        return fast.text()

    if not form.decisions.clones:
        return as_it_is(copy=False), ""
    clone = Printer(form, frame, body, identity, resume=True)
    if form.uses_name:
        clone.put(f'static const char __upstare_name_{tree.name}[] = "{tree.name}"; ')
    own = {tree.name} & form.copied
    clone.put(declare_copies(form.called_copies | own))
    if own:
        clone.put(copy_head(tree, form.source) + as_it_is(copy=True) + " ")
    name = f"__upstare_r_{identity}"
    attributes = f'__attribute__((noinline, noclone, used, visibility("hidden"), section("{RESUME_SECTION}")))'
    clone.put(f'{result or "void"} {name}(void) __asm__("upstare$r${identity}"); ')
    clone.at(tree.body.start)
    clone.put(f"{attributes} {result or 'void'} {name}(void) {{ {label_table(tree)}{externs} ")
    begin = "upstare_resume_hold" if form.records else "upstare_resume_begin"
    clone.put(f"unsigned __upstare_at[2]; const unsigned char *__upstare_d = {begin}(__upstare_at, __upstare_at + 1); ")
    clone.put("const unsigned __upstare_point = __upstare_at[0], __upstare_phase = __upstare_at[1]; ")
    if form.records:
        clone.put("int __upstare_again; ")
    # What changes between a setjmp and the longjmp must be volatile to be found again.
    pointer = "void *volatile" if form.records else "void *"
    for local in tree.locals.values():
        if local.parameter and local.name:
            c_name = frame.c_names[local.target]
            clone.put(f"{_parameter_type(local)} {c_name}; ")
            if clone._remote(local.target):
                clone.put(f"{pointer} __upstare_p_{c_name} = (void *)&{c_name}; ")
        elif clone._remote(local.target):
            clone.put(f"{pointer} __upstare_p_{frame.c_names[local.target]} = 0; ")
    clone.put(temporaries + " ")
    for temporary in form.temporaries.values():
        if clone._remote(temporary.target):
            clone.put(f"{pointer} __upstare_p_{temporary.name} = (void *)&{temporary.name}; ")
    clone.put("".join(f"unsigned long __upstare_z_{slot.c_name} = 0; " for slot in frame.sized()))
    clone.put(clone.restores.dispatch() + inner)
    clone.statements(body)
    clone.at(max(tree.body.end - 1, tree.body.start))
    clone.put(outer)
    clone.put(implicit + dummy + "}")
    return as_it_is(copy=False), clone.text()


def _parameter_type(local: Local) -> str:
    text = c_type(local.ctype)
    return text


__all__ = ["Printer", "print_clones"]
