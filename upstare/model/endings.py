"""Functions that end the process in failure, though nothing declares that they do: ``die("no memory")``.

A call of one is like a call of a function that is declared never to return: no thread is there for long, and none
comes back. With points there, all that can fail would be instrumented, down to a string that is copied.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Mapping

from upstare.model.facts import EXITS, EndFact, FunctionFact

Key = tuple[int, str]
_SEVERAL = 3
"""Functions that must call one: the whole work of a server or child, with an error at its end, is called in one place;
the common way to give up in many."""
_FAILS = -1


def endings(
    functions: Mapping[Key, FunctionFact], resolve: Callable[[int, str], Key | None], lasting: Collection[Key]
) -> set[Key]:
    """The functions that never return, but end the process in failure, and are there for that alone.

    Args:
        resolve: the definition that a name means in a unit, if the program has it.
        lasting: those declared never to return in which a thread can stay.
    """
    may = {k: f for k, f in functions.items() if f.ends and not f.noreturn and all(loop.why for loop in f.loops)}
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


def _callers(
    functions: Mapping[Key, FunctionFact], resolve: Callable[[int, str], Key | None], wanted: Collection[Key]
) -> Mapping[Key, Collection[Key]]:
    names = {name for _, name in wanted}
    callers: dict[Key, set[Key]] = defaultdict(set)
    for key, fact in functions.items():
        for call in fact.calls:
            if call.callee in names and (target := resolve(key[0], call.callee)) in wanted and target is not None:
                callers[target].add(key)
    return callers
