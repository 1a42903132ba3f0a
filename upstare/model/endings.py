"""What ends the process in failure, and what may look like it but stays.

Many functions do so though nothing declares that they do: ``die("no memory")``. A call of one is like a call of a
function that is declared never to return: no thread is there for long, and none comes back. With points there, all that
can fail would be instrumented, down to a string that is copied.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping

from upstare.model.facts import EXITS, CallFact, EndFact, FunctionFact

Key = tuple[int, str]
Resolve = Callable[[int, str], Key | None]
_SEVERAL = 3
"""Functions that must call one: the whole work of a server or child, with an error at its end, is called in one place;
the common way to give up in many."""
_FAILS = -1


def endings(
    functions: Mapping[Key, FunctionFact], resolve: Resolve, lasting: Collection[Key], staying: Collection[Key]
) -> set[Key]:
    """The functions that never return, but end the process in failure, and are there for that alone.

    Args:
        resolve: the definition that a name means in a unit, if the program has it.
        lasting: those declared never to return in which a thread can stay.
        staying: those that may wait for long.
    """
    may = {
        key: fact
        for key, fact in functions.items()
        if fact.ends and not fact.noreturn and key not in staying and all(loop.why for loop in fact.loops)
    }
    found: set[Key] = set()
    status: dict[Key, int] = {}  # of those that end in success or failure, the parameter that says it

    def way(unit: int, end: EndFact) -> int | None:
        """_FAILS; or the parameter of the function that decides whether the call does; None if it may return."""
        target = resolve(unit, end.callee)
        if target is None and end.callee in EXITS:
            deciding = 0
        elif target in status:
            deciding = status[target]
        else:
            return _FAILS if target in found or (end.declared and target not in lasting) else None
        return _FAILS if deciding in end.fails else end.passes.get(deciding)

    more = True
    while more:
        more = False
        for key in [key for key in may if key not in found and key not in status]:
            ways = {way(key[0], end) for end in may[key].ends}
            deciding = ways - {_FAILS}
            if not deciding:
                found.add(key)
                more = True
            elif len(deciding) == 1 and (parameter := deciding.pop()) is not None:
                status[key] = parameter
                more = True
    return {key for key, callers in _callers(functions, resolve, found).items() if len(callers) >= _SEVERAL}


_SOON = ("write", "send", "connect", "pthread_mutex", "pthread_cond_destroy")  # how such names begin


def staying(
    functions: Mapping[Key, FunctionFact], resolve: Resolve, targets: Callable[[int, CallFact], Iterable[Key]],
    blocking: Iterable[str],
) -> set[Key]:  # fmt: skip
    """The functions in which a thread may wait for others as long as it likes: they have, or call by name one that has,
    a loop that data do not bound, and in it or below it a wait. That may be all that a program is there for even if an
    error is what comes next (``serve(); fatal("serve came back");``). To write the message is no such wait.

    Args:
        resolve: the definition that a name means in a unit, if the program has it.
        targets: what a call in a unit may lead to.
        blocking: the library's functions that may block.
    """
    waits = {name for name in blocking if not name.startswith(_SOON)}
    callers: dict[Key, list[Key]] = defaultdict(list)
    waiting: set[Key] = set()
    for key, fact in functions.items():
        called = {call.callee for call in fact.calls if call.callee is not None}
        if not waits.isdisjoint(called):
            waiting.add(key)
        for name in called:
            if (target := resolve(key[0], name)) is not None:
                callers[target].append(key)
    _upwards(callers, waiting)
    loops = {k: f for k, f in functions.items() if any(not loop.why for loop in f.loops)}
    ways = {k: (target for call in f.calls for target in targets(k[0], call)) for k, f in loops.items()}
    stay = {k for k in loops if k in waiting or any(target in waiting for target in ways[k])}
    _upwards(callers, stay)
    return stay


def _upwards(callers: Mapping[Key, Collection[Key]], found: set[Key]) -> None:
    """Add all functions that lead to these."""
    work = list(found)
    while work:
        for caller in callers.get(work.pop(), ()):
            if caller not in found:
                found.add(caller)
                work.append(caller)


def _callers(
    functions: Mapping[Key, FunctionFact], resolve: Resolve, wanted: Collection[Key]
) -> Mapping[Key, Collection[Key]]:
    names = {name for _, name in wanted}
    callers: dict[Key, set[Key]] = defaultdict(set)
    for key, fact in functions.items():
        for call in fact.calls:
            if call.callee in names and (target := resolve(key[0], call.callee)) in wanted and target is not None:
                callers[target].add(key)
    return callers
