"""Fixtures that several directories of tests share."""

import signal

from tests.support.fixtures import compile_cache, kvserver, prefork, tinyproxy

__all__ = ["compile_cache", "kvserver", "prefork", "tinyproxy"]


def pytest_configure() -> None:
    """Children of the tests can be interrupted, also where the tests run in the background, with the signal ignored."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
