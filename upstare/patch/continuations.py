"""Where an old frame goes on in the new version: update points matched by structure.

A point matches another of the same kind that calls the same function. Among those, the best alignment in the order of
the text wins (dynamic programming over the similarity of the enclosing statements and of the statement itself); points
that were moved across others are matched afterwards where only one fits. Where several alignments are equally good, the
point is *ambiguous* and a person decides: nothing is ever guessed.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from difflib import SequenceMatcher

from upstare.model.description import Function, Point

Callee = tuple[str, str]  # what a point calls, comparable across versions

_ENOUGH = 0.4  # similarity from which on two points can be the same
_ENOUGH_IF_ALONE = 0.25  # ... if no other point of either function comes into question
_MOVED = 0.75  # ... if they are out of order
_MARGIN = 0.02  # what one alignment must be better than another by to be clearly better


@dataclass
class Alignment:
    """Pairs of old and new points, and the old points that have none.

    ``ambiguous`` has the candidates between which nothing decides; their old points are in neither of the others.
    """

    pairs: list[tuple[Point, Point]] = field(default_factory=list)
    missing: list[Point] = field(default_factory=list)
    ambiguous: list[tuple[Point, list[Point]]] = field(default_factory=list)


def align(
    old: Function,
    new: Function,
    old_callee: Callable[[Point], Callee],
    new_callee: Callable[[Point], Callee],
    forced: dict[int, int | None] | None = None,
) -> Alignment:
    """Match the points of ``old`` with those of ``new``. ``forced`` maps numbers, None meaning that there is none."""
    decided = forced or {}
    ours = [(p, (p.kind, *old_callee(p))) for p in old.points]
    theirs = [(p, (p.kind, *new_callee(p))) for p in new.points]
    if old.body == new.body and not decided and [k for _, k in ours] == [k for _, k in theirs]:
        return Alignment(pairs=list(zip(old.points, new.points, strict=True)))

    result = Alignment()
    by_number = {p.number: p for p in new.points}
    for point in old.points:
        if point.number in decided:
            number = decided[point.number]
            if number is None:
                result.missing.append(point)
            else:
                result.pairs.append((point, by_number[number]))
    taken = {number for number in decided.values() if number is not None}
    ours = [(p, k) for p, k in ours if p.number not in decided]
    theirs = [(p, k) for p, k in theirs if p.number not in taken]
    _align_rest(ours, theirs, result)
    result.pairs.sort(key=lambda pair: pair[0].number)
    result.missing.sort(key=lambda point: point.number)
    return result


Keyed = tuple[Point, tuple[str, ...]]


def _align_rest(ours: Sequence[Keyed], theirs: Sequence[Keyed], result: Alignment) -> None:
    scores = _scores(ours, theirs)
    forward, backward = _totals(scores, len(theirs))
    best = forward[len(ours)][len(theirs)]

    matched: dict[int, int] = {}
    unclear: dict[int, list[int]] = {}
    for i, row in enumerate(scores):
        options = [
            j for j, score in row.items() if score + forward[i][j] + backward[i + 1][j + 1] >= best - _MARGIN
        ]
        skipped = max(forward[i][j] + backward[i + 1][j] for j in range(len(theirs) + 1))
        if len(options) > 1 or (options and skipped >= best - _MARGIN):
            unclear[i] = options
        elif options:
            matched[i] = options[0]

    free = set(range(len(theirs))) - set(matched.values()) - {j for options in unclear.values() for j in options}
    for i, row in enumerate(scores):
        if i in matched or i in unclear:
            continue
        moved = sorted(((row[j], j) for j in free if row.get(j, 0.0) >= _MOVED), reverse=True)
        if moved and (len(moved) == 1 or moved[0][0] - moved[1][0] > _MARGIN):
            matched[i] = moved[0][1]
            free.discard(moved[0][1])

    for i, (point, _) in enumerate(ours):
        if i in matched:
            result.pairs.append((point, theirs[matched[i]][0]))
        elif i in unclear:
            result.ambiguous.append((point, [theirs[j][0] for j in unclear[i]]))
        else:
            result.missing.append(point)


def _scores(ours: Sequence[Keyed], theirs: Sequence[Keyed]) -> list[dict[int, float]]:
    """For each old point, the new ones that it can become and how similar they are (0..1]."""
    ours_of: dict[tuple[str, ...], int] = {}
    theirs_of: dict[tuple[str, ...], int] = {}
    for _, key in ours:
        ours_of[key] = ours_of.get(key, 0) + 1
    for _, key in theirs:
        theirs_of[key] = theirs_of.get(key, 0) + 1
    scores: list[dict[int, float]] = []
    for point, key in ours:
        alone = ours_of[key] == 1 and theirs_of.get(key) == 1
        enough = _ENOUGH_IF_ALONE if alone else _ENOUGH
        row = {j: similarity(point, other) for j, (other, other_key) in enumerate(theirs) if other_key == key}
        scores.append({j: score for j, score in row.items() if score >= enough})
    return scores


def _totals(scores: list[dict[int, float]], width: int) -> tuple[list[list[float]], list[list[float]]]:
    """Best sums of alignments of the first i and j points, and of those from i and j on."""
    height = len(scores)
    forward = [[0.0] * (width + 1) for _ in range(height + 1)]
    backward = [[0.0] * (width + 1) for _ in range(height + 1)]
    for i in range(1, height + 1):
        row, above = scores[i - 1], forward[i - 1]
        line = forward[i]
        for j in range(1, width + 1):
            line[j] = max(above[j], line[j - 1], above[j - 1] + row[j - 1] if j - 1 in row else 0.0)
    for i in range(height - 1, -1, -1):
        row, below = scores[i], backward[i + 1]
        line = backward[i]
        for j in range(width - 1, -1, -1):
            line[j] = max(below[j], line[j + 1], below[j + 1] + row[j] if j in row else 0.0)
    return forward, backward


def similarity(old: Point, new: Point) -> float:
    """How much the surroundings and the statement of two points agree, 0 to 1."""
    return 0.5 * _path_similarity(tuple(old.path), tuple(new.path)) + 0.5 * _text_similarity(old.text, new.text)


@functools.cache
def _path_similarity(old: tuple[str, ...], new: tuple[str, ...]) -> float:
    """Twice the weight of the best common subsequence over the sum of the lengths (1 if both are empty)."""
    if old == new:
        return 1.0
    if not old or not new:
        return 1.0 / (1.0 + len(old) + len(new))  # the function's body itself is something that they share
    best = [[0.0] * (len(new) + 1) for _ in range(len(old) + 1)]
    for i, ours in enumerate(old):
        for j, theirs in enumerate(new):
            common = best[i][j] + _text_similarity(ours, theirs)
            best[i + 1][j + 1] = max(best[i][j + 1], best[i + 1][j], common)
    return (1.0 + 2.0 * best[-1][-1]) / (1.0 + len(old) + len(new))


@functools.cache
def _text_similarity(old: str, new: str) -> float:
    if old == new:
        return 1.0
    return SequenceMatcher(None, _tokens(old), _tokens(new), autojunk=False).ratio()


@functools.cache
def _tokens(text: str) -> tuple[str, ...]:
    return tuple(re.findall(r"[A-Za-z_]\w*|\d+|\"[^\"]*\"|[^\s\w]", text))
