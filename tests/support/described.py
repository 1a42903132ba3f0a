"""Containers of version descriptions, without a build."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields

from upstare.driver.embed import pack_text
from upstare.model.description import Description, Linked, PackedFrame, pack, pack_body, pack_frame


def frames(description: Description) -> list[PackedFrame]:
    """Those of its functions."""
    return [pack_frame(f.frame_size, f.slots, f.points) for f in description.functions]


def container(description: Description, texts: Sequence[bytes] = ()) -> bytes:
    """The description as an executable carries it, with these texts of its units."""
    linked = Linked(**{f.name: getattr(description, f.name) for f in fields(Linked)})
    records = [
        pack_text(unit.source, unit.flags, unit.compiler, text)
        for unit, text in zip(description.units, texts, strict=True)
    ]
    return pack(linked, pack_body(description, frames(description)), records)
