"""Containers of version descriptions, without a build."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields

from upstare.driver.embed import pack_text
from upstare.model.description import Description, Linked, pack, pack_body


def container(description: Description, texts: Sequence[bytes] = ()) -> bytes:
    """The description as an executable carries it, with these texts of its units."""
    linked = Linked(**{f.name: getattr(description, f.name) for f in fields(Linked)})
    records = [
        pack_text(unit.source, unit.flags, unit.compiler, text)
        for unit, text in zip(description.units, texts, strict=True)
    ]
    return pack(linked, pack_body(description), records)
