"""Fixtures of the tests and the benches: programs that are built once for all of them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.support.build import Builder, build_example
from tests.support.tinyproxy import Version, build_tinyproxy
from tests.support.tool import REPOSITORY


@pytest.fixture(scope="session", autouse=True)
def compile_cache() -> None:
    """One compile cache for all, kept between runs; the user's own is left alone."""
    os.environ.setdefault("UPSTARE_CACHE", str(REPOSITORY / "build" / "test-cache"))


def example(name: str, factory: pytest.TempPathFactory) -> Builder:
    """Executables of an example by version, each built once."""
    built: dict[tuple[str, bool], Path] = {}

    def build(version: str, updateable: bool = True) -> Path:
        key = (version, updateable)
        if key not in built:
            built[key] = build_example(name, version, factory.mktemp(name), updateable)
        return built[key]

    return build


@pytest.fixture(scope="session")
def kvserver(tmp_path_factory: pytest.TempPathFactory) -> Builder:
    """Executables of the threaded example."""
    return example("kvserver", tmp_path_factory)


@pytest.fixture(scope="session")
def prefork(tmp_path_factory: pytest.TempPathFactory) -> Builder:
    """Executables of the pre-forking example."""
    return example("prefork", tmp_path_factory)


@pytest.fixture(scope="session")
def tinyproxy(tmp_path_factory: pytest.TempPathFactory) -> Builder:
    """Executables of tinyproxy by version, each built once."""
    built: dict[tuple[Version, bool], Path] = {}

    def build(version: Version, updateable: bool = True) -> Path:
        key = (version, updateable)
        if key not in built:
            built[key] = build_tinyproxy(version, tmp_path_factory.mktemp("tinyproxy"), updateable)
        return built[key]

    return build
