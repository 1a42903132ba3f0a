"""What the patch maker decides, refuses and asks."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.patch_samples import Version, call, loop, slot
from upstare.errors import UsageError
from upstare.model.description import Slot
from upstare.patch.compare import compare
from upstare.patch.make import propose
from upstare.patch.mapping import Mapping, read_mapping
from upstare.patch.plan import ONLY_AFTER, ONLY_IN_CALL, Plan
from upstare.patch.relate import Kind
from upstare.patch.report import PatchReport
from upstare.patch.user import UserFunction, UserTransformers


def proposed(
    old: Version, new: Version, mapping: Mapping | None = None, user: UserTransformers | None = None
) -> PatchReport:
    return propose(old.description, new.description, mapping or Mapping(), user or UserTransformers())[0]


def plans(old: Version, new: Version, mapping: Mapping | None = None) -> tuple[Plan, Plan]:
    _, forward, backward = propose(old.description, new.description, mapping or Mapping(), UserTransformers())
    return forward.plan, backward.plan


@pytest.fixture
def old() -> Version:
    return Version("1.0")


@pytest.fixture
def new() -> Version:
    return Version("1.1")


# ---- functions


def test_changed_added_removed(old: Version, new: Version) -> None:
    for name in ("same", "gone"):
        old.function(name, body=name)
    old.function("edited", body="1")
    new.function("same", body="same")
    new.function("edited", body="2")
    new.function("fresh")
    report = proposed(old, new)
    assert (report.changed, report.added, report.removed) == (["a.c:edited"], ["a.c:fresh"], ["a.c:gone"])
    assert report.unchanged == 1


def test_function_that_moved_to_another_unit(old: Version, new: Version) -> None:
    function = old.function("work", [call("read", blocking=True)])
    other = new.function("work", [call("read", blocking=True)], unit="b.c")
    assert compare(old.description, new.description, Mapping()).functions == {function.id: other.id}


def test_renamed_function_and_its_callers(old: Version, new: Version) -> None:
    old.function("wait", [call("read", blocking=True)])
    old.function("main", [call("wait")])
    new.function("pause", [call("read", blocking=True)])
    new.function("main", [call("pause")])
    without = proposed(old, new)
    assert len(without.missing) == 2 and without.possible
    assert "[functions]" in (without.missing[0].hint or "")
    forward, backward = plans(old, new, Mapping(functions={"a.c:wait": "a.c:pause"}))
    assert len(forward.continuations) == len(backward.continuations) == 2


def test_function_that_cannot_be_resumed(old: Version, new: Version) -> None:
    old.function("f", [call("read", blocking=True)])
    new.function("f", pinned="a.c:7: uses a nested function")
    [finding] = proposed(old, new).missing
    assert "nested function" in finding.sentence()


# ---- locals


def frames(old: Version, new: Version, ours: str, theirs: str) -> None:
    """``main`` of both versions, with locals like ``int n=0``; ``&`` before the name: kept."""

    def slots(text: str) -> list[Slot]:
        made = []
        for line, part in enumerate(filter(None, map(str.strip, text.split(";"))), 2):
            declared, _, initial = part.partition("=")
            kind, _, name = declared.rpartition(" ")
            made.append(slot(name.strip("&"), kind, line, kept="&" in name, initial=initial or None))
        return made

    for version, text in ((old, ours), (new, theirs)):
        found = slots(text)
        live = " ".join(s.key for s in found)
        version.function("main", [loop(live=live)], found)


def test_same_frame_is_copied(old: Version, new: Version) -> None:
    frames(old, new, "int n; char[8] &b", "int n; char[8] &b")
    [continuation] = plans(old, new)[0].continuations
    assert continuation.copy


def test_numbers_are_converted_and_new_locals_initialised(old: Version, new: Version) -> None:
    frames(old, new, "int n; int gone", "long n; double rate=0.5")
    forward, backward = plans(old, new)
    by_name = {p.new.name: p for p in forward.continuations[0].slots}
    assert by_name["n"].relation is not None and by_name["n"].relation.kind is Kind.CONVERT
    assert by_name["rate"].text == "0.5"
    assert [n.subject for n in forward.notes] == ["main: rate (double)"]
    assert not backward.continuations and len(backward.decisions) == 1


def test_new_local_without_a_value_is_a_decision_once(old: Version, new: Version) -> None:
    old.function("main", [loop(live="n"), call("read", "n", blocking=True)], [slot("n", "int")])
    points = [loop(live="n k"), call("read", "n k", blocking=True)]
    new.function("main", points, [slot("n", "int"), slot("k", "int", 7)])
    report = proposed(old, new)
    [decision] = report.decisions
    assert decision.new == "a.c:7" and "k (int)" in decision.subject
    assert "also needed at" in decision.details[-1]
    assert report.exit_code == 3 and report.outcome == "undecided"
    mapping = Mapping(locals={"a.c:main": {"k": "old.n * 2"}})
    assert proposed(old, new, mapping).possible


def test_missing_value_where_a_frame_soon_goes_on_is_a_warning(old: Version, new: Version) -> None:
    for version, extra, slots in ((old, "", []), (new, " k", [slot("k", "int", 7)])):
        version.function("count", [call("pthread_mutex_lock", blocking=True)])
        version.function("wait", [call("read", blocking=True)])
        points = [call("count", "n" + extra), call("wait", "n")]
        version.function("main", points, [slot("n", "int"), *slots])
    report = proposed(old, new)
    assert report.possible and report.mapped == 3
    assert "there is no value here for k (int)" in report.missing[0].text
    assert "[locals" in (report.missing[0].hint or "")
    new.description.functions[-1].points[1].live.append("k")
    assert not proposed(old, new).possible


def test_pointer_to_something_else_names_the_local(old: Version, new: Version) -> None:
    for version, kind in ((old, "struct orderedmap *"), (new, "struct pseudomap *")):
        version.function("handle", [loop(live="hashofheaders")], [slot("hashofheaders", kind, 12)])
    report = proposed(old, new)
    [decision] = report.decisions
    assert "hashofheaders" in decision.subject
    assert "'struct orderedmap *' to 'struct pseudomap *'" in decision.text
    assert (decision.old, decision.new) == ("a.c:12", "a.c:12")
    user = UserTransformers(
        Path("t.c"), "", {n: UserFunction(n, 2, False, 1) for n in ["upstare_transform_handle_hashofheaders"]}
    )
    report = proposed(old, new, user=user)
    assert report.possible and not report.warnings
    assert "upstare_restore_" in report.rollback.missing[0].text


def test_renamed_record_type(old: Version, new: Version) -> None:
    frames(old, new, "struct conn * c", "struct connection * c")
    assert not proposed(old, new).possible
    old.record("struct conn", fd="int")
    new.record("struct connection", fd="int")
    assert proposed(old, new, Mapping(types={"struct conn": "struct connection"})).possible


def test_value_that_is_dead_here(old: Version, new: Version) -> None:
    old.function("main", [loop(live="")], [slot("n", "int", 3)])
    new.function("main", [loop(live="n")], [slot("n", "int", 3, initial="0")])
    [decision] = proposed(old, new).decisions
    assert "no value at this point" in decision.text


def test_shadowed_names(old: Version, new: Version) -> None:
    old.function("main", [loop(live="i")], [slot("i", "int")])
    new.function("main", [loop(live="i#2")], [slot("i", "int"), slot("i", "int", key="i#2")])
    assert proposed(old, new).possible


def test_temporaries_by_their_order(old: Version, new: Version) -> None:
    for version, keys in ((old, ("t1", "t2")), (new, ("t4", "t7"))):
        slots = [slot(key, "int", temporary=True) for key in keys]
        version.function("f", [call("g", " ".join(keys), text="x = g() + g()")], slots)
    forward, _ = plans(old, new)
    assert [(p.old.key, p.new.key) for p in forward.continuations[0].slots if p.old] == [("t1", "t4"), ("t2", "t7")]


def test_unfinished_expressions_that_differ_are_missing(old: Version, new: Version) -> None:
    old.function("f", [call("g", "t1", text="x = g() + g()")], [slot("t1", "int", temporary=True)])
    new.function("f", [call("g", "t1", text="x = h() + g()")], [slot("t1", "int", temporary=True)])
    report = proposed(old, new)
    assert report.possible and "unfinished expression" in report.missing[0].text


def test_result_of_the_call(old: Version, new: Version) -> None:
    old.function("f", [call("g", "n", result="n")], [slot("n", "int")])
    new.function("f", [call("g", "m", result="m")], [slot("m", "int")])
    [continuation] = plans(old, new)[0].continuations
    assert continuation.flags == 0 and continuation.slots[0].old is not None


def test_result_that_was_thrown_away(old: Version, new: Version) -> None:
    old.function("f", [call("g")], [])
    new.function("f", [call("g", "n", result="n")], [slot("n", "int")])
    forward, backward = plans(old, new)
    assert forward.continuations[0].flags == ONLY_IN_CALL
    assert backward.continuations[0].flags == 0
    assert "just returned" in forward.warnings[0].text


def test_value_that_the_call_is_about_to_change(old: Version, new: Version) -> None:
    old.function("f", [call("g", "n", result="n")], [slot("n", "int")])
    new.function("f", [call("g", "n")], [slot("n", "int")])
    assert plans(old, new)[0].continuations[0].flags == ONLY_AFTER


def test_kept_locals(old: Version, new: Version) -> None:
    old.record("struct s", a="int")
    new.record("struct s", a="int", b="int")
    ours = "char[8] &same; struct s &grown; int &value; int address"
    frames(old, new, ours, "char[8] &same; struct s &grown; int value; int &address")
    by_name = {p.new.name: p for p in plans(old, new)[0].continuations[0].slots}
    assert {name: p.keeps_address for name, p in by_name.items()} == {
        "same": True, "grown": False, "value": False, "address": False,
    }  # fmt: skip


def test_local_that_moves_while_pointed_to_is_refused(old: Version, new: Version) -> None:
    old.record("struct s", a="int")
    new.record("struct s", a="int", b="int")
    frames(old, new, "struct s &x", "struct s &x")
    identifier = old.description.functions[0].id
    old.use(f"{identifier}:x", "argument", "f", "struct s *")
    assert proposed(old, new).possible
    old.use(f"{identifier}:x", "stored", "current", "struct s *", 33)
    [refusal] = proposed(old, new).refusals
    assert "local x" in refusal.subject and refusal.details == ["a.c:33: 'struct s *' stored in current"]


def test_local_that_moves_while_a_call_has_its_address(old: Version, new: Version) -> None:
    for version, more in ((old, {}), (new, {"b": "int"})):
        version.record("struct input", a="int", **more)
        slots = [slot("x", "struct input", kept=True)]
        function = version.function("f", [call("fill", "x"), call("other", "x")], slots)
        version.use(f"{function.id}:x", "argument", "fill", "struct input *")
    forward, backward = plans(old, new)
    assert [c.flags for c in forward.continuations] == [c.flags for c in backward.continuations] == [ONLY_AFTER, 0]


def test_pointed_to_local_that_is_gone(old: Version, new: Version) -> None:
    frames(old, new, "int &x", "")
    old.use(f"{old.description.functions[0].id}:x", "stored", "p", "int *")
    report = proposed(old, new)
    assert report.possible and "pointers to the local x" in report.missing[0].text


# ---- points


def test_ambiguous_point_is_a_decision(old: Version, new: Version) -> None:
    old.function("f", [call("g", line=10)])
    new.function("f", [call("g", line=20), call("g", line=21)])
    [decision] = proposed(old, new).decisions
    assert decision.hint == '[points."a.c:f"] "10" = "20" or "21" or "none"'
    forward, _ = plans(old, new, Mapping(points={"a.c:f": {"10": "21"}}))
    assert [c.new_point.number for c in forward.continuations] == [2]
    assert proposed(old, new, Mapping(points={"f": {"10": "none"}})).missing
    assert proposed(old, new, Mapping(points={"f": {"#1": "#2"}})).possible
    with pytest.raises(UsageError, match="no update point at 11"):
        proposed(old, new, Mapping(points={"f": {"11": "20"}}))


def test_open_questions_can_be_given_up(old: Version, new: Version) -> None:
    old.function("f", [call("g", line=10), call("h", line=11)])
    new.function("f", [call("g", line=20), call("g", line=21), call("h", line=22)])
    frames(old, new, "", "int fresh")
    assert len(proposed(old, new).decisions) == 2
    given_up = Mapping(undecided={"points": "none"})
    report = proposed(old, new, given_up)
    assert report.possible
    assert "line 20 and 21 equally well" in report.missing[0].text
    assert "there is no value here for fresh (int)" in report.missing[1].text
    forward, backward = plans(old, new, given_up)
    assert [c.old_point.line for c in forward.continuations] == [11]
    assert sorted(c.old_point.line for c in backward.continuations) == [4, 22]  # main has lost a local, f a call


# ---- objects


def test_variables_bound_added_removed(old: Version, new: Version) -> None:
    for version in (old, new):
        version.variable("counter", "int")
    old.variable("gone", "int")
    new.variable("fresh", "int", initial=True)
    new.variable("each", "int", thread_local=True)
    report = proposed(old, new)
    assert report.bound_variables == 1
    assert report.added_variables == ["a.c:1: fresh"] and report.removed_variables == ["a.c:1: gone"]


def test_retyped_variable_moves_both_ways(old: Version, new: Version) -> None:
    old.record("struct stats", n="int", gone="int")
    new.record("struct stats", n="long", fresh="double")
    for version in (old, new):
        version.variable("stats", "struct stats")
    forward, backward = plans(old, new)
    assert forward.moves[0].relation.kind is backward.moves[0].relation.kind is Kind.RECORD


def test_object_that_moves_while_pointed_to_is_refused(old: Version, new: Version) -> None:
    old.record("struct config_s", a="int")
    new.record("struct config_s", a="int", b="int")
    before = old.variable("configs", "struct config_s[2]", 40, unit="a.c")
    new.variable("configs", "struct config_s[2]", 44, unit="a.c")
    old.use(before.symbol, "argument", "memset", "void *")
    assert proposed(old, new).possible
    old.use(before.symbol, "initialiser", "config", "struct config_s *", 41)
    report = proposed(old, new)
    [refusal] = report.refusals
    assert refusal.sentence().startswith("a.c:40 -> a.c:44: variable configs: the layout of its type")
    assert refusal.details == ["a.c:41: 'struct config_s *' initial value of config"]
    assert report.outcome == "refused" and report.exit_code == 3


def test_heap_records_are_refused_with_places(old: Version, new: Version) -> None:
    old.record("struct node", a="int")
    new.record("struct node", a="int", b="int")
    assert proposed(old, new).possible
    old.heap("struct node", 77)
    [refusal] = proposed(old, new).refusals
    assert "struct node" in refusal.subject and refusal.details == ["a.c:77: malloc(sizeof(struct node))"]


def test_thread_local_that_changes_is_refused(old: Version, new: Version) -> None:
    old.variable("mine", "int", thread_local=True)
    new.variable("mine", "long", thread_local=True)
    [refusal] = proposed(old, new).refusals
    assert "thread-local variable mine" in refusal.subject


def test_pointer_variable_of_another_meaning_is_a_decision(old: Version, new: Version) -> None:
    old.variable("map", "struct a *", 3)
    new.variable("map", "struct b *", 4)
    [decision] = proposed(old, new).decisions
    assert "it points to something else" in decision.text
    assert "upstare_transform_map" in (decision.hint or "")


def test_field_decisions_and_mapping(old: Version, new: Version) -> None:
    old.record("struct s", count="int", p="struct a *")
    new.record("struct s", total="long", p="struct b *")
    for version in (old, new):
        version.variable("x", "struct s")
    [decision] = proposed(old, new).decisions
    assert decision.subject == "variable x, p"
    mapping = Mapping(fields={"struct s": {"total": "count", "p": "0"}})
    report = proposed(old, new, mapping)
    assert report.possible and report.rollback.impossible  # expressions cannot be turned round
    plan, _ = plans(old, new, mapping)
    assert [f.old and f.old.name for f in plan.moves[0].relation.fields] == ["count", None]


def test_arrays_do_not_shrink_silently(old: Version, new: Version) -> None:
    old.variable("log", "int[8]")
    new.variable("log", "int[4]")
    [decision] = proposed(old, new).decisions
    assert "loses 4 of 8 elements" in decision.text
    assert proposed(new, old).possible and not proposed(new, old).rollback.impossible


def test_rollback_is_refused_where_pointers_are_kept(old: Version, new: Version) -> None:
    old.variable("n", "int")
    after = new.variable("n", "long")
    new.use(after.symbol, "stored", "p", "long *", 5)
    report = proposed(old, new)
    assert report.possible and "variable n" in report.rollback.impossible[0].subject


def test_every_problem_is_listed(old: Version, new: Version) -> None:
    before = old.variable("configs", "int")
    new.variable("configs", "long")
    old.use(before.symbol, "stored", "p", "int *")
    old.variable("map", "struct a *")
    new.variable("map", "struct b *")
    old.function("f", [loop()])
    new.function("f", [loop(live="n k")], [slot("n", "int"), slot("k", "int")])
    report = proposed(old, new)
    assert (len(report.refusals), len(report.decisions)) == (1, 3)
    assert report.reason == "1 change cannot be applied to a running process and 3 decisions must be made by a person"


# ---- the mapping file


def test_mapping_file_reads(tmp_path: Path) -> None:
    path = tmp_path / "m.toml"
    path.write_text(
        '[functions]\n"a.c:f" = "b.c:g"\n[fields."struct s"]\nnew = "old"\n[locals."a.c:main"]\nn = 0\n'
        '[points."a.c:main"]\n"12" = "none"\n'
    )
    mapping = read_mapping(path)
    assert mapping.functions == {"a.c:f": "b.c:g"} and mapping.locals == {"a.c:main": {"n": "0"}}
    back = mapping.reverse()
    assert back.functions == {"b.c:g": "a.c:f"} and back.fields == {"struct s": {"old": "new"}}
    assert back.points == {"a.c:main": {}}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[functionz]", "no such section: functionz"),
        ("functions = 3", "is not a table"),
        ('[undecided]\npoints = "all"', "can only say"),
        ("[functions]\nx = true", "is not a string"),
        ("[fields]\nx = 3", "is not a table"),
        ("[", "m.toml"),
    ],
)
def test_mapping_file_errors(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "m.toml"
    path.write_text(text)
    with pytest.raises(UsageError, match=message):
        read_mapping(path)


@pytest.mark.parametrize(
    "mapping",
    [
        Mapping(functions={"a.c:nope": "a.c:f"}),
        Mapping(variables={"nope": "nope"}),
        Mapping(types={"struct nope": "struct x"}),
        Mapping(fields={"struct nope": {}}),
        Mapping(locals={"nope": {}}),
        Mapping(points={"a.c:nope": {}}),
    ],
)
def test_mapping_of_unknown_names(old: Version, new: Version, mapping: Mapping) -> None:
    old.function("f")
    new.function("f")
    with pytest.raises(UsageError, match="nope"):
        proposed(old, new, mapping)
