"""What becomes of compiler options that an updateable program cannot have."""

from __future__ import annotations

import pytest

from upstare.driver import options


@pytest.mark.parametrize(
    ("line", "refused"),
    [
        ("-O2 -fsanitize=address,undefined -g", "-fsanitize=address,undefined"),
        ("-fsanitize=undefined,shift -fsanitize=leak", None),
        ("-fsanitize=thread -fno-sanitize=thread", None),
        ("-fsanitize=address -fno-sanitize=all -fsanitize=bounds", None),
        ("-fsanitize=something-new", "-fsanitize=something-new"),
        ("-fno-sanitize=undefined", None),
        ("--coverage", "--coverage"),
        ("-fprofile-update=atomic -fprofile-generate=here", "-fprofile-generate=here"),
        ("-finstrument-functions", "-finstrument-functions"),
        ("-fno-split-stack", None),
        ("-ffixed-r15", "-ffixed-r15"),
        ("-flto -fprofile-use -fwhole-program", None),
    ],
)
def test_refusal(line: str, refused: str | None) -> None:
    found = options.refusal(line.split())
    assert (found[0] if found else None) == refused


def test_left_out_and_outvoted() -> None:
    words = "-O2 -flto=4 -fprofile-use=x -fno-asynchronous-unwind-tables".split()
    assert list(options.left_out(words)) == ["-flto=4", "-fprofile-use=x"]
    again = options.for_recompile(words)
    assert not {"-flto=4", "-fprofile-use=x"} & set(again)
    assert again.index("-fno-asynchronous-unwind-tables") < again.index("-fasynchronous-unwind-tables")


@pytest.mark.parametrize(("line", "left"), [("-flto -fno-lto", []), ("-fno-lto -flto", ["-flto"])])
def test_the_last_word_on_link_time_optimisation(line: str, left: list[str]) -> None:
    assert list(options.left_out(line.split())) == left
