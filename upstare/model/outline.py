"""The outline of a version description: what the link step needs of it. It is much smaller, and kept beside it."""

from __future__ import annotations

from typing import NamedTuple

from upstare.model.description import Description


class FunctionOutline(NamedTuple):
    """What a point table needs to know of a function (``Function``)."""

    id: int
    name: str
    type: str
    returns: str
    frame_size: int
    pinned: bool
    callees: tuple[tuple[int, str | None], ...]  # of its points: the number, and what is called


class UnitOutline(NamedTuple):
    """One unit, and its functions that are pinned with the reasons."""

    path: str
    digest: str
    pinned: dict[str, str]


class Outline(NamedTuple):
    """The outline of one build."""

    scheme: str
    sources: str
    units: list[UnitOutline]
    functions: list[FunctionOutline]


def outline(description: Description) -> Outline:
    """The outline of a description."""
    units = {u.path: UnitOutline(u.path, u.digest, {}) for u in description.units}
    functions = []
    for f in description.functions:
        callees = tuple((p.number, p.callee) for p in f.points)
        functions.append(
            FunctionOutline(int(f.id, 16), f.name, f.type, f.returns, f.frame_size, f.pinned is not None, callees)
        )
        if f.pinned is not None:
            units[f.unit].pinned[f.name] = f.pinned
    return Outline(description.scheme, description.sources, list(units.values()), functions)
