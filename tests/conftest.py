"""Fixtures that several directories of tests share."""

from tests.support.fixtures import compile_cache, kvserver, tinyproxy

__all__ = ["compile_cache", "kvserver", "tinyproxy"]
