"""Ways that do not come back: calls declared never to return, what leads to them, and functions that end in them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from upstare.frontend.nodes import Node, Parsed, callee_name, callee_of
from upstare.frontend.tables import Cursor
from upstare.model.facts import EXITS, EndFact

_ELSEWHERE = ("longjmp", "_longjmp", "siglongjmp", "pthread_exit", "thrd_exit")
_NOT_SHORT = ("label", "case", "default", "return", "goto", "break", "continue", "for", "while", "do")
_RETURNS = ("return", "label", "igoto")  # a function with one of these is not looked at


def is_noreturn(cursor: Cursor, parsed: Parsed) -> bool:
    """Whether a function is declared never to return, here or elsewhere in the unit."""
    return any(_says_noreturn(c, parsed) for c in [cursor, *parsed.declarations(cursor.spelling)])


def _says_noreturn(cursor: Cursor, parsed: Parsed) -> bool:
    if "noreturn" in cursor.type.spelling:
        return True
    start, name = cursor.extent.start.offset, cursor.location.offset
    head = parsed.source.text[start:name]
    return b"_Noreturn" in head or b"noreturn" in head


def doom(parsed: Parsed, body: Node, ends: bool) -> dict[int, frozenset[str]]:
    """Calls on the short way to a failing end: a call that does not return follows in the same list of statements.

    A statement with a loop is not short, and what comes before an end in success may be all that the program is there
    for (``serve(); exit(0);``, as children of fork do). So may what a function always does, whatever its end, unless it
    is declared to come to one (``ends``).
    """
    result: dict[int, frozenset[str]] = {}

    def add(node: Node, end: Node) -> None:
        callee = callee_name(end)
        assert callee is not None
        result[id(node)] = result.get(id(node), frozenset()) | {callee}

    for block in body.walk():
        if block.kind != "compound" or not (ends or _is_conditional(block)):
            continue
        last = -1
        for index, statement in enumerate(block.children):
            if statement.kind == "call" and never_returns(parsed, statement) and not _may_succeed(statement):
                last = index
        if last < 0:
            continue
        for statement in reversed(block.children[: last + 1]):
            inner = list(statement.walk())
            if any(n.kind in _NOT_SHORT for n in inner):
                break
            for node in inner:
                if node.kind == "call":
                    add(node, block.children[last])
    for node in body.walk():
        if node.kind == "call" and never_returns(parsed, node):
            add(node, node)
    return result


def _is_conditional(block: Node) -> bool:
    around = block.parent
    while around is not None and around.kind in ("compound", "do", "stmtexpr"):
        around = around.parent
    return around is not None


def _may_succeed(call: Node) -> bool:
    """Whether a call that does not return can be the good end of a process or thread, or goes on elsewhere."""
    name = callee_name(call)
    return name in _ELSEWHERE or (name in EXITS and not (len(call.children) > 1 and _is_failure(call.children[1])))


def _is_failure(status: Node) -> bool:
    """Whether a value is a number other than 0."""
    while status.kind == "paren":
        status = status.children[0]
    if status.kind == "unary" and status.op == "-":
        return _is_failure(status.children[0])
    return status.kind == "number" and not is_zero(status)


def never_returns(parsed: Parsed, call: Node) -> bool:
    """Whether what a call calls is declared never to return."""
    callee = callee_of(call)
    if callee is None:
        return False
    target = callee.cursor.referenced
    return target is not None and is_noreturn(target, parsed)


def is_zero(node: Node | None) -> bool:
    """Whether an expression is the number 0."""
    while node is not None and node.kind == "paren":
        node = node.children[0]
    return node is not None and node.kind == "number" and node.name == "0"


def ends(parsed: Parsed, body: Node, parameters: Sequence[int]) -> list[EndFact]:
    """The calls in one of which every way through a function ends, if each way ends in one.

    Args:
        parameters: the offsets that identify the parameters of the function.
    """
    if any(node.kind in _RETURNS for node in body.walk()):
        return []
    last = list(_last_calls(body))
    found = [_end(parsed, body, call, parameters) for call in last if call is not None]
    known = [end for end in found if end is not None]
    return known if len(known) == len(last) else []


def _last_calls(statement: Node | None) -> Iterator[Node | None]:
    """What a statement does last, whichever way it goes; None: something that is no call."""
    if statement is not None and statement.kind == "call":
        yield statement
    elif statement is not None and statement.kind == "compound":
        real = [child for child in statement.children if child.kind != "null"]
        yield from _last_calls(real[-1] if real else None)
    elif statement is not None and statement.kind == "if":
        yield from _last_calls(statement.parts["then"])
        yield from _last_calls(statement.parts.get("else"))
    elif statement is not None and statement.kind == "do" and is_zero(statement.parts["cond"]):
        leaves = any(node.kind in ("break", "continue") for node in statement.walk())
        yield from _last_calls(statement.parts["body"] if not leaves else None)
    else:
        yield None


def _end(parsed: Parsed, body: Node, call: Node, parameters: Sequence[int]) -> EndFact | None:
    name = callee_name(call)
    if name is None or name in _ELSEWHERE:
        return None
    used = [node.target for node in body.walk() if node.kind == "ref" and node.target in parameters]
    end = EndFact(name, never_returns(parsed, call))
    for index, argument in enumerate(call.children[1:]):
        if _is_failure(argument):
            end.fails.append(index)
        elif argument.kind == "ref" and used.count(argument.target) == 1:  # nobody changes it
            end.passes[index] = parameters.index(argument.target)
    return end
