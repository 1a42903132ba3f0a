"""The outline of a version description: what the link step needs of it. It is much smaller, and kept beside it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from upstare.model.description import Description, Linked, PackedFrame, from_json


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


class Described(NamedTuple):
    """What a link needs of a description: the outline, and the body of the container."""

    outline: Outline
    body: bytes

    def description(self) -> Description:
        """The description, without what is known only since the link. Raises ValueError if it is damaged."""
        from upstare.model.packed import inflate

        return from_json(inflate(self.body), vars(Linked("", "", "", [])))


def outline(description: Description, frames: Sequence[PackedFrame]) -> Outline:
    """The outline of a description, which has no frames, and the frames of its functions."""
    units = {u.path: UnitOutline(u.path, u.digest, {}) for u in description.units}
    functions = []
    for f, frame in zip(description.functions, frames, strict=True):
        pinned = f.pinned is not None
        functions.append(
            FunctionOutline(int(f.id, 16), f.name, f.type, f.returns, frame.size, pinned, frame.callees)
        )
        if f.pinned is not None:
            units[f.unit].pinned[f.name] = f.pinned
    return Outline(description.scheme, description.sources, list(units.values()), functions)
