"""What bounds a loop: a condition that may end it looks at something that the loop steps."""

from __future__ import annotations

from collections.abc import Iterator

from upstare.frontend.nodes import Node, Parsed

_STEPS = ("x++", "x--", "++x", "--x")
_COUNTS = ("+=", "-=", ">>=", "<<=", "/=", "*=")
_LOOPS = ("for", "while", "do")


def bound(parsed: Parsed, loop: Node) -> str:
    """'counts', 'walks', or '' if nothing of the kind bounds the loop by data."""
    tests = list(_tests(loop))
    tested = {n.target for test in tests for n in test.walk() if n.kind == "ref" and n.target_kind == "local"}
    fields = {_words(parsed, n) for test in tests for n in test.walk() if n.kind == "member"}
    for node in loop.walk():
        if (node.kind == "unary" and node.op in _STEPS) or (node.kind == "binary" and node.op in _COUNTS):
            target = node.children[0]
            if target.kind == "ref" and target.target in tested:
                return "counts"
            if target.kind == "member" and _words(parsed, target) in fields:
                return "counts"
    return "walks" if _walks(loop, tested) else ""


def _words(parsed: Parsed, node: Node) -> str:
    return parsed.source.words(node.start, node.end)


def _tests(loop: Node) -> Iterator[Node]:
    """The conditions that are looked at each time and may end the loop: its own, and those of ``if (...) break;``."""
    cond, body = loop.parts.get("cond"), loop.parts.get("body")
    if cond is not None:
        yield cond
    for statement in body.children if body is not None and body.kind == "compound" else ():
        if statement.kind == "if" and statement.parts["cond"] is not None and _leaves(statement.parts["then"], loop):
            yield statement.parts["cond"]
        if any(n.kind in ("continue", "goto") and _in_same(n, loop) for n in statement.walk()):
            return  # what follows may be passed by


def _leaves(then: Node | None, loop: Node) -> bool:
    while then is not None and then.kind == "compound" and then.children:
        then = then.children[-1]
    return then is not None and (then.kind == "return" or (then.kind == "break" and _in_same(then, loop)))


def _in_same(jump: Node, loop: Node) -> bool:
    """Whether a break, continue or goto concerns this loop and not one in it."""
    around = jump.parent
    while around is not None and around.kind not in _LOOPS and not (around.kind == "switch" and jump.kind == "break"):
        around = around.parent
    return around is loop or jump.kind == "goto"


def _walks(loop: Node, tested: set[int]) -> bool:
    """Whether what is tested comes, over assignments in the loop, from a part of what it points to or selects."""
    sources: dict[int, list[tuple[set[int], bool]]] = {}
    for node in loop.walk():
        if node.kind == "binary" and node.op == "=" and len(node.children) == 2:
            target, right = node.children
            while right.kind in ("paren", "cast") or (right.kind == "unary" and right.op == "&"):
                right = right.children[-1]  # link = &(*link)->next
            if target.kind == "ref" and target.target_kind == "local" and right.kind != "call":
                used = {n.target for n in right.walk() if n.kind == "ref" and n.target_kind == "local"}
                sources.setdefault(target.target, []).append((used, right.kind in ("member", "binary", "index")))
    return any(_returns(start, sources) for start in tested)


def _returns(start: int, sources: dict[int, list[tuple[set[int], bool]]]) -> bool:
    """Whether a local's next value depends on its own, with a step on the way and not by copies alone."""
    seen: set[tuple[int, bool]] = set()
    work = [(start, False)]
    while work:
        local, stepped = work.pop()
        for used, steps in sources.get(local, ()):
            for other in used:
                state = (other, stepped or steps)
                if state == (start, True):
                    return True
                if state not in seen:
                    seen.add(state)
                    work.append(state)
    return False
