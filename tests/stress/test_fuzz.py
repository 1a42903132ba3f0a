"""Hostile input for a few seconds; ``python -m tests.stress.fuzz`` goes on for hours."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.stress.faults import build
from tests.stress.fuzz import TARGETS

SECONDS = 12.0


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("fuzz")
    build(folder)
    return folder


@pytest.mark.parametrize("target", TARGETS)
def test_hostile_input_does_no_harm(folder: Path, target: str) -> None:
    report = TARGETS[target](folder, SECONDS, 7)
    figures = [int(word) for word in report.split() if word.isdecimal()]
    assert len(figures) > 1 and min(figures) > 0 and figures[0] > 10, report
