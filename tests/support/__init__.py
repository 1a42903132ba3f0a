"""Helpers of the tests: building programs, running them, loading them, fetching real ones."""
