"""Matching update points by structure."""

from __future__ import annotations

from tests.unit.patch_samples import Version, call, loop
from upstare.model.description import Point
from upstare.patch.continuations import Alignment, Callee, align


def callee(point: Point) -> Callee:
    return ("name", point.callee or "")


def matched(old: list[Point], new: list[Point], forced: dict[int, int | None] | None = None) -> Alignment:
    return align(Version("1").function("f", old), Version("2").function("f", new), callee, callee, forced)


def numbers(alignment: Alignment) -> dict[int, int]:
    return {a.number: b.number for a, b in alignment.pairs}


def test_calls_added_around() -> None:
    old = [loop(), call("accept", path="while(1)"), call("handle", path="while(1)")]
    new = [call("setup"), loop(), *(call(name, path="while(1)") for name in ("log", "accept", "handle"))]
    found = matched(old, new)
    assert numbers(found) == {1: 2, 2: 4, 3: 5}
    assert not found.missing and not found.ambiguous


def test_call_that_is_gone_is_missing() -> None:
    found = matched([call("a"), call("b"), call("c")], [call("a"), call("c")])
    assert numbers(found) == {1: 1, 3: 2}
    assert [p.number for p in found.missing] == [2]


def test_other_callee_is_never_matched() -> None:
    found = matched([call("read", text="n = x(fd)")], [call("recv", text="n = x(fd)")])
    assert not found.pairs and len(found.missing) == 1


def test_block_put_under_a_condition() -> None:
    found = matched([loop(), call("poll", path="while(1)")], [loop(), call("poll", path="while(1) if(!paused)")])
    assert numbers(found) == {1: 1, 2: 2}


def test_statement_that_is_repeated_is_ambiguous() -> None:
    found = matched([call("send")], [call("send"), call("send")])
    assert not found.pairs
    [(point, options)] = found.ambiguous
    assert point.number == 1 and [p.number for p in options] == [1, 2]


def test_two_for_one_is_ambiguous_for_both() -> None:
    found = matched([call("send"), call("send")], [call("send")])
    assert sorted(p.number for p, _ in found.ambiguous) == [1, 2]


def test_repeated_statements_stay_in_order() -> None:
    found = matched(
        [call("send"), call("send"), call("x")], [call("send"), call("send"), call("x")]
    )
    assert numbers(found) == {1: 1, 2: 2, 3: 3}


def test_text_decides_between_two() -> None:
    old = [call("send", text="send(fd, header, n)")]
    new = [call("send", text="send(fd, greeting, 5)"), call("send", text="send(fd, header, n, 0)")]
    assert numbers(matched(old, new)) == {1: 2}


def test_moved_across_another() -> None:
    old = [call("a", text="a(1)"), call("b", text="b(1)"), call("c", text="c(1)")]
    new = [call("b", text="b(1)"), call("c", text="c(1)"), call("a", text="a(1)")]
    assert numbers(matched(old, new)) == {1: 3, 2: 1, 3: 2}


def test_loops_match_loops_of_their_kind() -> None:
    old = [loop("for(;;)"), loop("while(p!=0)", path="for(;;)")]
    new = [loop("while(x<3)"), loop("for(;;)"), loop("while(p!=0)", path="for(;;)")]
    assert numbers(matched(old, new)) == {1: 2, 2: 3}


def test_decisions_come_first() -> None:
    old, new = [call("send"), call("x")], [call("send"), call("send"), call("y")]
    found = matched(old, new, {1: 2, 2: None})
    assert numbers(found) == {1: 2}
    assert [p.number for p in found.missing] == [2] and not found.ambiguous


def test_same_body_is_identity() -> None:
    old = Version("1").function("f", [call("send"), call("send")], body="x")
    new = Version("2").function("f", [call("send", line=9), call("send", line=9)], body="x")
    assert numbers(align(old, new, callee, callee)) == {1: 1, 2: 2}
