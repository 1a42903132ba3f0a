"""Memory of a frame that no variable of the user's names: the function's own variable arguments, blocks of alloca.

Both stay where they are for as long as the frame lives, like objects whose address is known elsewhere. A function that
calls ``va_start`` begins with a list of its own, which tells the runtime where the arguments are; the resume clone,
which has no arguments, copies that list where the function would make one. Blocks of alloca are linked into a chain::

    va_start(ap, last)      fast: the same      resume: va_copy(ap, __upstare_arguments)
    alloca(n)               both: a block of n + 16 bytes, whose first 16 lead to the block before and say n
"""

from __future__ import annotations

from transforms import ir
from transforms.marks import Marks
from transforms.temporaries import Pin, Temporary
from upstare.frontend.functions import ALLOCA, VA_START
from upstare.frontend.nodes import Node, callee_name
from upstare.frontend.types import is_variable_array

BLOCK_HEADER = 16  # struct upstare_block
_CHARACTER_BITS = 8


class Memory(Marks):
    """Prints the calls that make such memory."""

    def _segments(self, node: Node, done: dict[int, list[ir.Segment]]) -> list[ir.Segment]:
        raise NotImplementedError

    def _own(self, name: str, c_type: str, own: str, initial: str) -> Temporary:
        """The variable of the transform's own with this name."""
        for temporary in self.temporaries.values():
            if temporary.name == name:
                return temporary
        number = len(self.temporaries) + 1
        temporary = Temporary(-number, name, None, c_type, own == "arguments", own=own, initial=initial)
        self.temporaries[-number] = temporary
        return temporary

    def _memory_call(
        self, node: Node, plain: list[ir.Segment], done: dict[int, list[ir.Segment]]
    ) -> list[ir.Segment] | None:
        """A call that begins to read arguments or allocates a block; ``plain`` is its text. None: another call."""
        name = callee_name(node)
        if name in VA_START:
            last = [local.name for local in self.tree.locals.values() if local.parameter][-1:]
            start = f"__builtin_va_start(__upstare_arguments, {''.join(last) or 0});"
            own = self._own("__upstare_arguments", "__builtin_va_list", "arguments", start)
            into = self._segments(node.children[1], done)
            return [ir.Either(plain, ["__builtin_va_copy(", *into, ", ", ir.Ref(own.target), ")"])]
        if name in ALLOCA:
            return self._block(node, done)
        return None

    def _block(self, node: Node, done: dict[int, list[ir.Segment]]) -> list[ir.Segment]:
        if self.decisions.scheme == "flag" and not self.decisions.fixed_room:
            raise Pin(f"{self.source.where(node.start)}: alloca, with a compiler that makes room for each call anew")
        for local in self.tree.locals.values():
            if is_variable_array(local.ctype) and not local.parameter and local.scope[0] <= node.start < local.scope[1]:
                raise Pin(f"{self.source.where(node.start)}: alloca in the scope of a variable-length array")
        chain = ir.Ref(self._own("__upstare_chain", "void *", "chain", "__upstare_chain = 0;").target)
        size = self._segments(node.children[1], done)
        head, allocate = str(BLOCK_HEADER), "__builtin_alloca(__upstare_n + __upstare_h)"
        if len(node.children) > 2:  # an alignment in bits, which is a constant
            bits = self.source.flat(node.children[2].start, node.children[2].end)
            head = f"({bits}) / {_CHARACTER_BITS} > {BLOCK_HEADER} ? ({bits}) / {_CHARACTER_BITS} : {BLOCK_HEADER}"
            allocate = f"__builtin_alloca_with_align(__upstare_n + __upstare_h, {bits})"
        return [
            "({ const unsigned long __upstare_n = (", *size, f"), __upstare_h = {head}; "
            f"void **__upstare_b = (void **)((char *){allocate} + __upstare_h); __upstare_b[-2] = ", chain,
            "; __upstare_b[-1] = (void *)__upstare_n; ", chain, " = __upstare_b - 2; (void *)__upstare_b; })",
        ]  # fmt: skip
