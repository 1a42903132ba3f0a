"""The place that every test of the driver works in."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.driver.place import Place


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """A fresh directory with a few small sources."""
    place = Place(tmp_path / "p")
    place.write("greet.h", '#define GREETING "hello"\nint greet(const char *name);\nextern int greeted;\n')
    place.write(
        "greet.c",
        '#include <stdio.h>\n#include "greet.h"\nint greeted;\n'
        'int greet(const char *name) { greeted++; return printf(GREETING " %s\\n", name); }\n',
    )
    place.write("main.c", '#include "greet.h"\nint main(void) { return greet("world") < 0; }\n')
    return place
