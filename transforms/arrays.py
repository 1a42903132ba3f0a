"""Variable-length arrays with a point in their scope.

Each length that is not constant goes to a variable of the transform's own, so that it can be saved::

    fast clone                     resume clone
    int a[l = (n)][4];             int a[1][4];  l = (n);  room for the array, unless there is some already
    ... a[i] ...                   ... (*(__typeof__(a[0][0]) (*)[l][4])p_a)[i] ...

No label may stand where such an array is in scope, so the resume clone has none: it declares one of constant length,
for the type of the elements alone, and reaches the real one through a pointer. One that is declared anew there goes
to the memory of the one before, if it fits, so that a loop does not use up the stack.
"""

from __future__ import annotations

from clang.cindex import TypeKind

from transforms import ir
from transforms.cleanups import Cleanups, without_attribute
from transforms.temporaries import Pin
from upstare.frontend.functions import set_jumps
from upstare.frontend.nodes import Node
from upstare.frontend.types import is_array, is_variable_array

_OPERATORS = ("==", "!=", "<=", ">=")


class Arrays(Cleanups):
    """Declarations of variable-length arrays."""

    def _initialise(self, variable: Node, init: Node, done: dict[int, list[ir.Segment]]) -> ir.Statement:
        raise NotImplementedError

    def _is_sized(self, variable: Node) -> bool:
        """Whether a variable is such an array, and a point can be reached while it exists."""
        local = self.tree.locals.get(variable.target)
        if local is None or local.static or not is_variable_array(variable.type):
            return False
        begin, end = local.scope
        return variable.hot or any(
            begin <= n.start < end and (n.hot_call or id(n) in self._loop_points) for n in self.tree.body.walk()
        )

    def _sized_declaration(self, node: Node, variables: list[Node], sized: list[Node]) -> list[ir.Statement]:
        """A declaration with such arrays."""
        first = variables.index(sized[0])
        done: dict[int, list[ir.Segment]] = {}
        before: list[ir.Statement] = []
        lengths: dict[int, ir.Expr] = {}
        uses: set[int] = set()
        dropped: set[int] = set()
        last = node.start
        self._check(node, variables, sized)
        for index, variable in enumerate(variables):
            init = variable.parts["init"]
            if variable in sized:
                for size in self._sizes(variable):
                    before += self._lower(size, done)
                    last = max(last, size.end)
                lengths[variable.target] = self._lengths(variable, done)
                uses |= lengths[variable.target].uses
            elif init is not None and index > first:
                dropped.add(variable.target)
            elif init is not None and init.hot:
                before += self._lower(init, done)
        for variable in variables:
            local = self.tree.locals[variable.target]
            local.scope = (last, local.scope[1])
        expr = without_attribute(self._declaration(node, done, dropped))
        expr.uses |= uses - {v.target for v in variables}
        late: list[ir.Statement] = []
        for variable in variables:
            init = variable.parts["init"]
            if variable.target in dropped and init is not None:
                late += [*self._lower(init, done), self._initialise(variable, init, done)]
        return [*before, ir.Declare(node.start, expr, [v.target for v in variables], lengths), *late]

    def _check(self, node: Node, variables: list[Node], sized: list[Node]) -> None:
        """Whatever could not be evaluated in its order is not done."""
        where = self.source.where(node.start)
        if set_jumps(self.tree):
            raise Pin(f"{where}: a variable-length array in a function with setjmp")
        if self.decisions.scheme == "flag" and not self.decisions.fixed_room:
            raise Pin(f"{where}: a variable-length array, with a compiler that makes room for each call anew")
        first, end = variables.index(sized[0]), variables.index(sized[-1])
        names = {v.target for v in variables}
        late = {v.target for v in variables[first:] if v.parts["init"] is not None}
        for index, variable in enumerate(variables[:end]):
            init = variable.parts["init"]
            if init is not None and init.hot and (index or any(n.target in names for n in init.walk())):
                raise Pin(f"{where}: a call that can be interrupted stands before a variable-length array")
        for variable in sized:
            for size in self._sizes(variable):
                mentioned = {n.target for n in size.walk() if n.kind == "ref"}
                if mentioned & (names if size.hot else late):
                    raise Pin(f"{where}: the length of an array depends on its own declaration")

    def _sizes(self, variable: Node) -> list[Node]:
        after = self.source.word_end(variable.target)
        return [c for c in variable.children if after <= c.start < variable.end and c is not variable.parts["init"]]

    def _lengths(self, variable: Node, done: dict[int, list[ir.Segment]]) -> ir.Expr:
        """What gives the lengths of an array their values; ``self.sized`` has them, outermost first."""
        local = self.tree.locals[variable.target]
        sizes = self._sizes(variable)
        ctype = variable.type.get_canonical()
        result = ir.Expr([])
        dimensions: list[int | str] = []
        while is_array(ctype):
            if not sizes:
                raise Pin(f"{self.source.where(variable.start)}: {variable.name} has its length from a typedef")
            size = sizes.pop(0)
            if ctype.kind == TypeKind.VARIABLEARRAY:
                name = f"__upstare_length_{local.key.replace('#', '_')}_{len(dimensions)}"
                length = ir.Ref(self._own(name, "unsigned long", "length", f"{name} = 0;").target)
                value = self.expr(size, done)
                done[id(size)] = [ir.Either([length, " = (", *value.segments, ")"], ["1"])]
                result.segments += [length, " = (", *value.segments, "); "]
                result.uses |= value.uses
                dimensions.append(name)
            else:
                dimensions.append(ctype.element_count)
            ctype = ctype.element_type.get_canonical()
        self.sized[variable.target] = dimensions
        return result
