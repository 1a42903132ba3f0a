"""A hundred small random programs; the campaign (``python -m tests.stress.campaign``) runs thousands of larger ones."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.stress.compare import try_program
from tests.stress.generate import INCLUDE


@pytest.mark.skipif(shutil.which("csmith") is None or not INCLUDE.exists(), reason="needs csmith and libcsmith-dev")
@pytest.mark.parametrize("seed", range(1, 101))
def test_random_program_behaves_as_plain(seed: int, tmp_path: Path) -> None:
    outcome = try_program(seed, tmp_path, patience=3, small=True)
    if outcome.state in ("passed over", "slow", "undefined"):
        pytest.skip(f"csmith program {seed}: {outcome.state}")
    assert outcome.differences == []


@pytest.mark.skipif(shutil.which("csmith") is None or not INCLUDE.exists(), reason="needs csmith and libcsmith-dev")
@pytest.mark.parametrize("seed", [100070, 200364, 700107, 701460])
def test_program_that_once_differed(seed: int, tmp_path: Path) -> None:
    assert try_program(seed, tmp_path).state == "same"


@pytest.mark.skipif(shutil.which("csmith") is None or not INCLUDE.exists(), reason="needs csmith and libcsmith-dev")
def test_program_without_a_meaning_is_no_difference(tmp_path: Path) -> None:
    assert try_program(700785, tmp_path).state == "undefined"
