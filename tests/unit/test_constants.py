"""Which constants versions share: a symbol stands for type and content, and nothing else."""

from __future__ import annotations

import itertools

import pytest

from upstare.frontend.functions import functions
from upstare.frontend.nodes import Parsed
from upstare.frontend.summary import summarise
from upstare.frontend.types import TypeTable
from upstare.model.facts import UnitSummary
from upstare.model.program import Program
from upstare.model.unit import Options, Unit

BEFORE = """# 1 "unit.c"
enum colour { RED = 1, GREEN };
typedef unsigned char byte;
struct part { int a, b; };
struct op { const char *name; long value; struct part part; const void *link; int (*run)(int); };
extern int puts(const char *); extern int library_object;
static int ours(int n) { return n; }
static int variable;
static const struct op other = { "other", 1 };
void use(const void *);
"""
AFTER = "\nvoid user(void) { use(&other); use(&table); }\n"
TABLE = """static const struct op table[] =
 { { .name = "a  b", RED, { 1, 2 } }, [GREEN] = { "c", sizeof(struct part) } };"""


def summary(text: str, flags: tuple[str, ...] = ()) -> UnitSummary:
    parsed = Parsed(text.encode(), flags)
    assert parsed.errors == []
    return summarise(parsed, list(functions(parsed)), TypeTable(parsed.source))


def symbols(*texts: str, flags: tuple[str, ...] = ("-O2",), names: tuple[str, ...] = ()) -> dict[str, str]:
    """The symbols of the constants that are shared, by their names, those of static locals with their functions."""
    paths = names or tuple(f"/{number}.c" for number in range(len(texts)))
    units = [Unit(path, text.encode(), flags, ("gcc",), "0" * 64) for path, text in zip(paths, texts, strict=True)]
    program = Program(units, [summary(text, flags) for text in texts], Options(), ["read"], [])
    return {name: symbol for (_, name), symbol in program.constants.symbols.items()}


def of(table: str, before: str = BEFORE, flags: tuple[str, ...] = ("-O2",)) -> str:
    return symbols(before + table + AFTER, flags=flags)["table"]


def test_what_does_not_change_the_content_does_not_change_the_symbol() -> None:
    known = of(TABLE)
    assert known.startswith("up$") and known.endswith("$table")
    assert of(TABLE.replace("{ {", "{\n\n/* that is all */ {").replace("/* that is all */", "")) == known
    assert of(f"static int more;\n# 77 \"other.c\"\n{TABLE}") == known
    assert of(TABLE, flags=("-O0", "-g", "-fdebug-prefix-map=/a=/b")) == known
    assert of(TABLE, BEFORE.replace("return n;", "return n + 1;")) == known


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("RED = 1", "RED = 3"),  # the value of a name
        ('"a  b"', '"a b"'),
        ("{ 1, 2 }", "{ 2, 1 }"),
        (".name =", ".name = 0, .link ="),
        ("[GREEN]", "[RED]"),
        ("int a, b;", "int b, a;"),  # the layout of the type
        ("int a, b;", "long a; int b;"),
        ("long value;", "unsigned long value;"),
        ("sizeof(struct part)", "sizeof(struct op)"),
        ('{ "c", ', '{ "c", 1 + '),
    ],
)
def test_another_content_is_another_symbol(old: str, new: str) -> None:
    text = BEFORE + TABLE + AFTER
    assert old in text
    assert symbols(text.replace(old, new))["table"] != symbols(text)["table"]


@pytest.mark.parametrize(
    "table",
    [
        "static const int table[] = {{ {0} }};",
        "static const long table[] = {{ {0} }};",
        "static const struct part table[] = {{ {{ {0} }} }};",
    ],
)
def test_each_way_to_write_a_number_is_a_content(table: str) -> None:
    values = ["1", "2", "RED", "GREEN", "'a'", "RED + GREEN", "sizeof(byte)", "sizeof(variable)", "(byte)300",
              "__builtin_offsetof(struct part, a)", "__builtin_offsetof(struct part, b)", "_Alignof(struct op)",
              "sizeof other / sizeof other.name", "(long)&((struct op *)0)->part", "1 ? 2 : 3"]  # fmt: skip
    found = [of(table.format(value)) for value in values]
    assert len(set(found)) == len(values)


def test_what_a_type_stands_for_counts() -> None:
    for value in ("sizeof(struct part)", "__builtin_offsetof(struct part, b)", "(long)&((struct part *)0)->b",
                  "sizeof(((struct op *)0)->part)"):  # fmt: skip
        table = f"static const long table[] = {{ {value} }};"
        assert of(table) != of(table, BEFORE.replace("int a, b;", "long a, b;")), value
    table = "static const long table[] = { (byte)300 };"
    assert of(table) != of(table, BEFORE.replace("unsigned char byte", "unsigned short byte"))
    deep = "struct q { int x; }; struct p { struct q *q; }; "
    table = "static const long table[] = { sizeof(*((struct p *)0)->q) };"
    assert of(deep + table) != of(deep.replace("int x", "long x") + table)


def test_nameless_types_are_not_taken_for_one_another() -> None:
    table = ("static struct { int x; } one; static struct { long y; } two; "
             "static const long table[] = { sizeof one, sizeof two };")  # fmt: skip
    assert of(table) != of(table.replace("int x", "short x"))
    assert of(table) != of(table.replace("long y", "char y"))


def test_functions_are_known_by_name_and_objects_by_symbol() -> None:
    table = "static const struct op table = { 0, 0, { 0 }, LINK, RUN };"
    links = ["0", "&variable", "&other", "&other.part", "&library_object", "(void *)4"]
    runs = ["0", "ours", "puts_like"]
    before = BEFORE + "extern int puts_like(int);\n"
    found = [of(table.replace("LINK", a).replace("RUN", b), before) for a, b in itertools.product(links, runs)]
    assert len(set(found)) == len(found)
    linked = table.replace("LINK", "&other").replace("RUN", "0")
    assert of(linked) != of(linked, BEFORE.replace('"other", 1', '"other", 2'))
    linked = table.replace("LINK", "&variable").replace("RUN", "0")
    assert of(linked) != of(linked, BEFORE.replace("static int variable", "static long variable"))


def test_constants_that_lead_to_each_other() -> None:
    ring = ("struct node { const struct node *next; int n; }; static const struct node first, second, third;"
            "static const struct node first = { &second, 1 }, second = { &first, 2 }, third = { &first, 3 };"
            "void use(const void *); void user(void) { use(&first); use(&third); }")  # fmt: skip
    known = symbols(ring)
    assert sorted(known) == ["first", "second", "third"]
    changed = symbols(ring.replace("&first, 2", "&first, 4"))
    assert all(changed[name] != known[name] for name in known)
    changed = symbols(ring.replace("&first, 3", "&first, 5"))
    assert [name for name in known if changed[name] != known[name]] == ["third"]


def test_what_nobody_knows_depends_on_the_unit() -> None:
    table = "static const int table[] = { __builtin_constant_p(1) };"
    assert of(table) == of(table)
    assert of(table) != of(table, BEFORE.replace("return n;", "return n + 1;"))
    table = "static const int table[] __attribute__((aligned(32))) = { 1 };"
    assert of(table) != of(table.replace("32", "64"))
    assert of(table) != of(table.replace(" __attribute__((aligned(32)))", ""))
    table = "static const char table[] = { -1 };"
    assert of(table) != of(table, flags=("-O2", "-funsigned-char"))


@pytest.mark.parametrize(
    "table",
    [
        'static const int table[] __attribute__((section("mine"))) = { 1 };',
        '__attribute__((__section__("mine"))) static const int table[] = { 1 };',
        "const int table[] __attribute__((weak)) = { 1 };",
        '#pragma weak table\nconst int table[] = { 1 };',
        'const int table[] __asm__("desk") = { 1 };',
        'const int table[] = { 1 }; extern const int desk[1] __attribute__((alias("table")));',
        '__asm__(".globl x; .set x, table"); static const int table[] = { 1 };',
        "static _Thread_local const int table = 1;",
        "extern const int table[];",
        "static const volatile int table = 1;",
        "# 1 \"/usr/include/system.h\" 1 3\nstatic const int table[] = { 1 };\n# 30 \"unit.c\" 2\n",
        'static void *const kept __attribute__((section("mine"))) = 0; static void *const *const table = &kept;',
        'int behind(int) __asm__("other_name"); static int (*const table)(int) = behind;',
        'int chosen(int) __attribute__((ifunc("ours"))); static int (*const table)(int) = chosen;',
        'static const int table[] = { 1 }; void low(void) { __asm__("" : : "i" (table)); }',
    ],
)
def test_these_belong_to_their_version(table: str) -> None:
    text = BEFORE + table + AFTER
    parsed = Parsed(text.encode(), ())
    found = summarise(parsed, list(functions(parsed)), TypeTable(parsed.source))
    program = Program([Unit("/u.c", b"", (), ("gcc",), "0" * 64)], [found], Options(), [], [])
    assert "table" not in {name for _, name in program.constants.symbols}


@pytest.mark.parametrize(
    ("use", "taken"),
    [
        ("return table[n];", False),
        ("return sizeof table;", False),
        ("return *(table + n);", True),
        ("return *&table[n];", False),
        ("use(table); return 0;", True),
        ("use(&table[n]); return 0;", True),
        ("return table == (void *)0;", True),
        ("const int *p = table; return *p;", True),
        ("static const int *const p[] = { table }; return *p[n];", True),
        ("for (int i = 0; i < 2; i++) n += table[i]; return n;", False),
    ],
)
def test_a_constant_counts_if_its_address_is_used(use: str, taken: bool) -> None:
    text = f"static const int table[] = {{ 1, 2 }}; void use(const void *); int user(int n) {{ {use} }}"
    assert ("table" in symbols(text)) == taken


def test_what_only_unused_functions_and_constants_name_is_left_alone() -> None:
    text = ("static const int a[] = { 1 }, b[] = { 2 }, c[] = { 3 }; void use(const void *);"
            "static inline void header(void) { use(a); } static const int *const unused[] = { b };"
            "static const int *const used[] = { c }; int user(int n) { return *used[n]; }")  # fmt: skip
    assert sorted(symbols(text)) == ["a", "b", "c"]  # one declaration
    text = text.replace(", b[] =", "; static const int b[] =").replace(", c[] =", "; static const int c[] =")
    assert sorted(symbols(text)) == ["c"]


def test_an_external_constant_is_taken_in_any_unit() -> None:
    define = "extern const int table[]; const int table[] = { 1, 2 }; int get(int n) { return table[n]; }"
    take = "extern const int table[]; void use(const void *); void user(void) { use(table); }"
    inside = "void use(const void *); void user(void) { extern const int table[2]; use(table); }"
    assert symbols(define) == {}
    for other in (take, inside):
        found = Program(
            [Unit(f"/{n}.c", b"", (), ("gcc",), "0" * 64) for n in "ab"], [summary(define), summary(other)], Options(),
            [], [],
        )  # fmt: skip
        names = [found.decisions(unit).variables["table"].symbol for unit in (0, 1)]
        assert names[0] == names[1] and names[0].endswith("$table")
    assert symbols(define, take) != symbols(define.replace("{ 1,", "{ 3,"), take)


def test_what_is_constant_to_some_units_only() -> None:
    define = "int counter = 1; int user(void) { return counter; }"
    for other in ("extern const int counter; int get(void) { return counter; }",
                  "int get(void) { extern int counter; return counter; }"):  # fmt: skip
        found = Program(
            [Unit(f"/{n}.c", b"", (), ("gcc",), "0" * 64) for n in "ab"], [summary(define), summary(other)], Options(),
            [], [],
        )  # fmt: skip
        assert found.constants.symbols == {}
        assert found.decisions(0).variables == found.decisions(1).variables


def test_tentative_definitions_and_units_of_the_same_names() -> None:
    one = "static const int table[2]; void use(const void *); void user(void) { use(table); }"
    two = one.replace("user", "other") + "static const int table[2] = { 1 };"
    program = Program(
        [Unit(f"/{n}.c", b"", (), ("gcc",), "0" * 64) for n in "ab"], [summary(one), summary(two)], Options(), [], []
    )
    found = {program.decisions(unit).variables["table"].symbol for unit in (0, 1)}
    assert len(found) == 2
    assert symbols(one)["table"] != symbols(one + "static const int table[2] = { 1 };")["table"]


def test_static_locals() -> None:
    text = ("void use(const void *); static int hidden; void user(void) { static const int table[] = { 1 }; "
            "static const struct { int x; } local = { 1 }; static const char *const name = __func__; "
            "use(table); use(&local); use(&name); }")  # fmt: skip
    found = symbols(text)
    assert sorted(found) == ["user:local", "user:table"]
    assert symbols(text.replace("{ 1 };", "{ 2 };", 1))["user:table"] != found["user:table"]
    tagged = text.replace("struct { int x; }", "struct tag { int x; }")
    assert sorted(symbols(tagged)) == ["user:table"]  # its type stays in the function


def test_constants_beside_variables() -> None:
    text = "static int *const fixed = 0, *other; int *get(void) { return other ? other : fixed; }"
    assert sorted(symbols(text)) == ["fixed"]  # "static" is taken out for both
