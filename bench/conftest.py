"""Programs and places that the benches share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.build import run_build
from tests.support.fixtures import compile_cache, kvserver, prefork, tinyproxy
from tests.support.tool import REPOSITORY

__all__ = ["compile_cache", "kvserver", "prefork", "tinyproxy"]

HERE = Path(__file__).resolve().parent


def pytest_addoption(parser: pytest.Parser) -> None:
    """``--quick``: fewer rounds and less work, to see that the benches run."""
    parser.addoption("--quick", action="store_true", help="fewer rounds and less work")


@pytest.fixture(scope="session")
def quick(request: pytest.FixtureRequest) -> bool:
    """Whether a short run is wanted."""
    return bool(request.config.getoption("--quick"))


@pytest.fixture(scope="session")
def rounds(quick: bool) -> int:
    """How often each measurement of a time is repeated."""
    return 3 if quick else 11


@pytest.fixture(scope="session")
def results() -> Path:
    """Where figures and pictures go."""
    place = REPOSITORY / "build" / "bench"
    place.mkdir(parents=True, exist_ok=True)
    return place


@pytest.fixture(scope="session")
def helper(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Builds one of the C programs beside this file with the plain compiler."""
    place = tmp_path_factory.mktemp("helpers")

    def build(name: str) -> Path:
        out = place / name
        if not out.exists():
            run_build(["cc", "-std=gnu11", "-O2", "-pthread", HERE / f"{name}.c", "-o", out], place)
        return out

    return build
