"""SHA-256 without the rest of :mod:`hashlib`, which takes longer to import than a unit takes to be hashed."""

try:
    from _hashlib import openssl_sha256 as sha256
except ImportError:
    from hashlib import sha256

__all__ = ["sha256"]
