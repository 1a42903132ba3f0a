"""Generated transformers, compiled and run on real data."""

from __future__ import annotations

import ctypes
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.unit.patch_samples import Version, call, loop, slot
from upstare.errors import UpstareError, UsageError
from upstare.model.description import Field
from upstare.patch.build import compile_transformers
from upstare.patch.expressions import over_old
from upstare.patch.make import propose
from upstare.patch.mapping import Mapping
from upstare.patch.transformers import Pristine, generate
from upstare.patch.user import UserTransformers, read_transformers

COMPILER = ["cc"]
IMAGE = """
#include <upstare_abi.h>
#include <string.h>
char refused[200];
void upstare_refuse(struct upstare_context *context, const char *what) { (void)context; strncpy(refused, what, 199); }
const struct upstare_image_info upstare_image_self;
"""


class Made:
    """A patch's tables in a shared object, with stand-ins for the objects that it refers to."""

    def __init__(self, source: str, objects: dict[str, int], work: Path) -> None:
        self.source = source
        tables = compile_transformers(source, COMPILER, work)
        extra = work / "image.c"
        lines = [f'unsigned char object{n}[{size}] __asm__("{s}");' for n, (s, size) in enumerate(objects.items())]
        extra.write_text(IMAGE + "\n".join(lines))
        library = work / "tables.so"
        include = Path(__file__).parents[2] / "c_runtime" / "include"
        subprocess.run(
            [*COMPILER, "-shared", "-fPIC", f"-I{include}", "-o", library, tables, extra], check=True, timeout=60
        )
        self.library = ctypes.CDLL(str(library))
        self.patch = _Patch.in_dll(self.library, "upstare_patch")

    def continuation(self, backward: bool = False, number: int = 0) -> _Continuation:
        """A row of the table of continuations."""
        row: _Continuation = self._direction(backward).continuations[number]
        return row

    def _direction(self, backward: bool) -> _Direction:
        found: _Direction = self.patch.backward if backward else self.patch.forward
        return found

    def map(self, data: bytes, backward: bool = False, number: int = 0) -> bytes:
        """New frame data out of old ones."""
        row = self.continuation(backward, number)
        new = ctypes.create_string_buffer(b"\xff" * row.new_size, row.new_size)
        assert row.map(data, new, None) == 0, self.refused()
        return new.raw

    def move(self, data: bytes, before: bytes, backward: bool = False, number: int = 0) -> bytes | None:
        """A new object out of an old one, in storage that held ``before``; None: refused."""
        row = self._direction(backward).moves[number]
        assert (len(data), len(before)) == (row.old_size, row.new_size)
        new = ctypes.create_string_buffer(before, len(before))
        return new.raw if row.transform(data, new, None) == 0 else None

    def refused(self) -> str:
        """What a transformer said."""
        return bytes((ctypes.c_char * 200).in_dll(self.library, "refused")).rstrip(b"\0").decode()


TRANSFORM = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_char_p, ctypes.c_void_p, ctypes.c_void_p)


class _Continuation(ctypes.Structure):
    _fields_ = [
        ("function", ctypes.c_uint64),
        ("new_function", ctypes.c_uint64),
        ("point", ctypes.c_uint32),
        ("new_point", ctypes.c_uint32),
        ("new_size", ctypes.c_uint32),
        ("flags", ctypes.c_uint32),
        ("map", TRANSFORM),
    ]


class _Move(ctypes.Structure):
    _fields_ = [
        ("name", ctypes.c_char_p),
        ("old_type", ctypes.c_char_p),
        ("new_type", ctypes.c_char_p),
        ("old_object", ctypes.c_void_p),
        ("new_object", ctypes.c_void_p),
        ("old_size", ctypes.c_uint64),
        ("new_size", ctypes.c_uint64),
        ("transform", TRANSFORM),
    ]


class _Direction(ctypes.Structure):
    _fields_ = [
        ("n_continuations", ctypes.c_uint32),
        ("n_moves", ctypes.c_uint32),
        ("n_initials", ctypes.c_uint32),
        ("n_entries", ctypes.c_uint32),
        ("n_checks", ctypes.c_uint32),
        ("n_constants", ctypes.c_uint32),
        ("n_variables", ctypes.c_uint32),
        ("continuations", ctypes.POINTER(_Continuation)),
        ("moves", ctypes.POINTER(_Move)),
        ("initials", ctypes.c_void_p),
        ("entries", ctypes.c_void_p),
        ("checks", ctypes.c_void_p),
        ("constants", ctypes.c_void_p),
        ("variables", ctypes.c_void_p),
        ("names", ctypes.c_char_p),
    ]


class _Patch(ctypes.Structure):
    _fields_ = [
        ("abi", ctypes.c_uint32),
        ("reserved", ctypes.c_uint32),
        ("from_", ctypes.c_uint8 * 32),
        ("to", ctypes.c_uint8 * 32),
        ("image", ctypes.c_void_p),
        ("forward", _Direction),
        ("backward", _Direction),
    ]


Make = Callable[..., Made]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """Makes the tables of a patch between two descriptions."""

    def made(old: Version, new: Version, mapping: Mapping | None = None, user: UserTransformers | None = None) -> Made:
        report, forward, backward = propose(
            old.description, new.description, mapping or Mapping(), user or UserTransformers()
        )
        assert report.possible, [f.sentence() for f in (*report.refusals, *report.decisions)]
        source = generate(old.description, new.description, forward, backward, Pristine())
        objects = {v.symbol: v.size for d in (old, new) for v in d.description.variables}
        return Made(source, objects, tmp_path)

    return made


def words(*values: tuple[int, int]) -> bytes:
    """Little-endian numbers: (value, bytes)."""
    return b"".join(value.to_bytes(size, "little", signed=value < 0) for value, size in values)


def test_frame_with_every_kind_of_local(make: Make) -> None:
    old, new = Version("1"), Version("2")
    for version, more in ((old, {}), (new, {"fresh": "int"})):
        version.record("struct pair", a="int", b="int", **more)
    same = [slot("p", "char *", parameter=True), slot("buffer", "char[4]", kept=True)]
    old.function("f", [loop(live="p buffer pair n")], [*same, slot("pair", "struct pair", kept=True), slot("n", "int")])
    new.function(
        "f",
        [loop(live="n pair p buffer extra text")],
        [
            slot("n", "long"),
            slot("pair", "struct pair", kept=True),
            slot("p", "char *", parameter=True),
            slot("buffer", "char[4]", kept=True),
            slot("extra", "int", initial="1 + 6"),
            slot("text", "char[6]", initial='"hi"'),
        ],
    )
    data = words((77, 8), (0, 8), (0x1000, 8), (0, 8)) + b"abcd" + bytes(12)
    data += words((0x2000, 8), (0, 8), (1, 4), (2, 4), (-5, 4))
    made = make(old, new)
    old_function, new_function = old.description.functions[0], new.description.functions[0]
    data = data.ljust(old_function.frame_size, b"\0")
    result = made.map(data)
    at = {s.key: s.offset for s in new_function.slots}
    assert int.from_bytes(result[at["n"] :][:8], "little", signed=True) == -5
    assert result[at["pair"] :][:28] == words((0, 8), (0, 8), (1, 4), (2, 4), (0, 4))
    assert result[at["p"] :][:8] == words((77, 8))
    assert result[at["buffer"] :][:20] == words((0x1000, 8), (0, 8)) + b"abcd"
    assert result[at["extra"] :][:4] == words((7, 4))
    assert result[at["text"] :][:6] == b"hi\0\0\0\0"
    back = made.map(result, backward=True)
    assert back[:8] == data[:8] and back[at_of(old, "n") :][:4] == words((-5, 4))
    assert back[at_of(old, "buffer") :][:20] == data[16:36]
    assert int(old_function.id, 16) == made.continuation().function
    assert new_function.frame_size == made.continuation().new_size


def at_of(version: Version, key: str) -> int:
    """Where a slot of the only function is."""
    return next(s.offset for s in version.description.functions[0].slots if s.key == key)


def test_equal_frames_need_no_code(make: Make) -> None:
    old, new = Version("1"), Version("2")
    for version in (old, new):
        version.function("f", [loop(live="n")], [slot("n", "int")])
    made = make(old, new)
    assert not made.continuation().map and "transform" not in made.source.partition("tables")[0].partition("*/")[2]


def test_record_field_by_field(make: Make) -> None:
    old, new = Version("1"), Version("2")
    for version, kind in ((old, "int"), (new, "long")):
        version.record("struct point", x=kind, y=kind)
    bits = {"flag": "unsigned int:3", "wide": "unsigned int:20"}
    old.record("struct s", **bits, gone="char", list="struct point[2]", next="struct s *")
    bits = {"wide": "unsigned int:25", "flag": "unsigned int:5"}
    new.record("struct s", list="struct point[3]", **bits, next="struct s *", fresh="double")
    for version in (old, new):
        version.variable("s", "struct s")
    made = make(old, new)
    data = words((5 | 70000 << 3, 3), (9, 1), (1, 4), (2, 4), (3, 4), (4, 4), (0, 4), (0xABC, 8))
    initial = bytes([0x11]) * new.type("struct s").size
    result = made.move(data.ljust(old.type("struct s").size, b"\0"), initial)
    assert result is not None
    offsets = {f.name: f.offset // 8 for f in new.type("struct s").fields}
    assert result[:32] == words((1, 8), (2, 8), (3, 8), (4, 8))
    assert result[32:48] == initial[32:48]  # what only the new version has keeps its initial value
    word = int.from_bytes(result[offsets["wide"] :][:4], "little")
    assert (word & 0x1FFFFFF, word >> 25 & 31) == (70000, 5)
    assert result[offsets["next"] :][:8] == words((0xABC, 8))
    assert result[offsets["fresh"] :][:8] == initial[:8]
    before = bytes([0x22]) * len(data.ljust(old.type("struct s").size, b"\0"))
    back = made.move(result, before, backward=True)
    assert back is not None and back[4:20] == data[4:20]
    assert back[old_offset(old, "gone")] == 0x22  # what only the old version has is still there


def old_offset(version: Version, name: str) -> int:
    """Where a field of ``struct s`` is."""
    return next(f.offset // 8 for f in version.type("struct s").fields if f.name == name)


def test_layouts_that_plain_c_does_not_give(make: Make) -> None:
    """Packed records, holes and bit-fields at odd places are laid out exactly: static assertions see to it."""
    old, new = Version("1"), Version("2")
    odd = old.record("struct odd", a="char", b="int", c="unsigned int:3", d="unsigned int:5", e="char")
    odd.fields = [
        Field("a", "char", 0),
        Field("b", "int", 8),
        Field("c", "unsigned int", 44, 3),
        Field("d", "unsigned int", 61, 5),
        Field("e", "char", 80),
    ]
    odd.size, odd.align = 12, 2
    new.record("struct odd", e="long", d="int", c="int", b="int", a="int")
    for version in (old, new):
        version.variable("x", "struct odd")
    bits = 0x41 | 0x12345678 << 8 | 5 << 44 | 19 << 61 | 0x7A << 80
    made = make(old, new)
    assert made.move(bits.to_bytes(12, "little"), bytes(24)) == words(
        (0x7A, 8), (19, 4), (5, 4), (0x12345678, 4), (0x41, 4)
    )


def test_anonymous_members_unions_and_typedefs(make: Make) -> None:
    old, new = Version("1"), Version("2")
    for version, kind in ((old, "int"), (new, "long")):
        version.record("union <s.0>", i="int", f="float")
        version.record("struct <s.1>", z="int")
        version.record("struct s", n=kind, anonymous1="union <s.0>", anonymous2="struct <s.1>")
        version.variable("x", "struct s")
    made = make(old, new)
    assert made.move(words((-1, 4), (7, 4), (8, 4)), bytes(16)) == words((-1, 8), (7, 4), (8, 4))


def test_expressions_over_the_old_frame(make: Make) -> None:
    old, new = Version("1"), Version("2")
    old.function("f", [loop(live="n b")], [slot("n", "int"), slot("b", "char[4]", kept=True)])
    new.function("f", [loop(live="m first")], [slot("m", "int"), slot("first", "int")])
    mapping = Mapping(locals={"f": {"m": "old.n > 3 ? (int)(old.n * 2) : 0", "first": "old.b[0]"}})
    data = words((21, 4)).ljust(32, b"\0") + b"A".ljust(8, b"\0")
    assert make(old, new, mapping).map(data.ljust(40, b"\0")) == words((42, 4), (65, 4))
    with pytest.raises(AssertionError, match="'old.gone', which is not live here"):
        make(old, new, Mapping(locals={"f": {"m": "1", "first": "old.gone + 1"}}))
    with pytest.raises(UsageError, match="no old.y here"):
        over_old("old.y", {"x": "x"}, "here")
    with pytest.raises(UsageError, match="is not a C expression"):
        over_old("old.x +", {"x": "x"}, "here")
    assert over_old("{old.x, 1}", {"x": "x"}, "here") == "{old->x, 1}"


def test_renamed_kept_local_keeps_its_address(make: Make) -> None:
    old, new = Version("1"), Version("2")
    old.function("f", [loop(live="b")], [slot("b", "char[4]", kept=True)])
    new.function("f", [loop(live="n buffer")], [slot("n", "int", initial="0"), slot("buffer", "char[4]", kept=True)])
    made = make(old, new, Mapping(locals={"f": {"buffer": "old.b"}}))
    data = words((0x4000, 8), (0, 8)) + b"wxyz" + bytes(4)
    assert made.map(data)[16:36] == data[:20]
    assert made.map(made.map(data), backward=True)[:20] == data[:20]


def test_text_that_does_not_fit_is_not_cut_off(make: Make) -> None:
    old, new = Version("1"), Version("2")
    old.variable("name", "char[4]")
    new.variable("name", "char[8]")
    made = make(old, new)
    assert made.move(b"abcd", bytes(8)) == b"abcd\0\0\0\0"
    assert made.move(b"abc\0\0\0\0\0", bytes(4), backward=True) == b"abc\0"
    assert made.move(b"abcdefg\0", bytes(4), backward=True) is None
    assert "does not fit" in made.refused()


def test_rollback_that_is_impossible_says_why(make: Make) -> None:
    old, new = Version("1"), Version("2")
    old.variable("n", "int")
    new.use(new.variable("n", "long").symbol, "stored", "p", "long *")
    made = make(old, new)
    assert made.move(b"", b"", backward=True) is None
    assert "cannot be rolled back" in made.refused() and "variable n" in made.refused()


def test_users_transformers(make: Make, tmp_path: Path) -> None:
    old, new = Version("1"), Version("2")
    old.record("struct stats", sum="int")
    new.record("struct stats", mean="long")
    for version, kind in ((old, "struct a *"), (new, "struct b *")):
        version.variable("stats", "struct stats")
        version.function("main", [call("read", "map", blocking=True)], [slot("map", kind)])
    file = tmp_path / "t.c"
    file.write_text(
        """/* upstare_transform_comment(x) { */
#include <stddef.h>
static long twice(long n) { return 2 * n; }
void upstare_transform_stats(const struct old_stats *old, struct stats *new) { new->mean = twice(old->sum); }
extern int upstare_transform_main_map(struct a *const *old, struct b **new, struct upstare_context *context)
{
  *new = (struct b *)((char *)*old + 1);
  if (*old == NULL)
    upstare_refuse(context, "no map");
  return *old == NULL ? -1 : 0;
}
void upstare_transform_nothing(const int *old, int *new) { *new = *old; }
"""
    )
    user = read_transformers(file)
    assert sorted(user.functions) == [f"upstare_transform_{n}" for n in ("main_map", "nothing", "stats")]
    made = make(old, new, user=user)
    assert [f.name for f in user.unused()] == ["upstare_transform_nothing"]
    assert made.move(words((21, 4)), bytes(8)) == words((42, 8))
    assert made.map(words((99, 8))) == words((100, 8))
    with pytest.raises(AssertionError, match="no map"):
        made.map(bytes(8))


@pytest.mark.parametrize(
    "text",
    [
        "void upstare_transform_x(int old, int new) { }",
        "char *upstare_transform_x(int *old, int *new) { return 0; }",
        "void upstare_transform_x(const strange old, int *new) { }",
        "void upstare_transform_x(void) { }",
    ],
)
def test_users_mistakes(tmp_path: Path, text: str) -> None:
    file = tmp_path / "t.c"
    file.write_text("\n" + text)
    with pytest.raises(UsageError, match=r"t\.c:2: error: upstare_transform_x"):
        read_transformers(file)
    with pytest.raises(UsageError, match="cannot read"):
        read_transformers(tmp_path / "none.c")


def test_users_code_that_does_not_compile(make: Make, tmp_path: Path) -> None:
    old, new = Version("1"), Version("2")
    old.variable("n", "int")
    new.variable("n", "long")
    file = tmp_path / "t.c"
    file.write_text("void upstare_transform_n(const char *old, long *new) { *new = *old; }")
    with pytest.raises(UpstareError, match="cannot compile the state transformers"):
        make(old, new, user=read_transformers(file))
