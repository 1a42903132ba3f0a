"""What was parsed ahead is used, once."""

from __future__ import annotations

import pytest

from upstare.errors import UpstareError
from upstare.frontend.ahead import parse_ahead, parsed

TEXT = b'# 1 "a.c"\nint f(void) { return 1; }\n'


def test_a_unit_parsed_ahead() -> None:
    parse_ahead("digest", TEXT, ("-O2",))
    first = parsed("digest", TEXT, ("-O2",))
    again = parsed("digest", TEXT, ("-O2",))
    assert first is not again
    assert [c.spelling for c in first.top] == [c.spelling for c in again.top] == ["f"]


def test_what_cannot_be_read_ahead_is_said_again(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise UpstareError("libclang could not read the preprocessed text")

    monkeypatch.setattr("upstare.frontend.nodes.Tables", refuse)
    for read in (parse_ahead, parsed):
        with pytest.raises(UpstareError, match="could not read"):
            read("other", TEXT, ("-O2",))
