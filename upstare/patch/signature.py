"""Signatures on patches, where the administrator of a machine demands them.

If ``/etc/upstare/trusted.pem`` exists, a patch is used only with a signature by one of the keys in it (PEM, Ed25519).
The signature of ``FILE`` is ``FILE.sig``: 64 bytes over the whole content, as ``openssl pkeyutl -sign -rawin`` makes
them.
"""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path

from upstare.errors import NotUpdatable

TRUSTED = Path("/etc/upstare/trusted.pem")

_KEY = re.compile(rb"-----BEGIN PUBLIC KEY-----.*?-----END PUBLIC KEY-----", re.DOTALL)
_HOW_TO_SIGN = "openssl pkeyutl -sign -rawin -inkey KEY.pem -in {0} -out {0}.sig makes one"


def verify(path: Path, content: bytes) -> None:
    """Whether the patch that was read from ``path`` may be used on this machine.

    Raises:
        NotUpdatable: a signature is demanded, and there is none, or it is by nobody trusted or for other content; or
            anybody but root could have written the list of keys.
    """
    keys = _trusted()
    if keys is None:
        return
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    try:
        signature = path.with_name(f"{path.name}.sig").read_bytes()
    except OSError as error:
        raise NotUpdatable(
            f"{TRUSTED} demands a signature, and that of {path} cannot be read: {error.strerror}",
            hint=_HOW_TO_SIGN.format(path),
        ) from error
    for text in keys:
        try:
            key = load_pem_public_key(text)
        except ValueError as error:
            raise NotUpdatable(f"{TRUSTED} has a key that cannot be read: {error}") from error
        if not isinstance(key, Ed25519PublicKey):
            raise NotUpdatable(f"{TRUSTED} has a key that is no Ed25519 key")
        try:
            key.verify(signature, content)
        except InvalidSignature:
            continue
        return
    raise NotUpdatable(f"the signature of {path} is by none of the keys in {TRUSTED}, or is for another content")


def _trusted() -> list[bytes] | None:
    """The keys, one or more; None: no signature is demanded."""
    try:
        with TRUSTED.open("rb") as file:
            about = os.fstat(file.fileno())
            content = file.read()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise NotUpdatable(f"{TRUSTED} demands signatures and cannot be read: {error.strerror}") from error
    if about.st_uid not in (0, os.geteuid()) or stat.S_IMODE(about.st_mode) & (stat.S_IWGRP | stat.S_IWOTH):
        raise NotUpdatable(f"{TRUSTED} can be written by others than root", hint="chown root, chmod 644")
    keys = _KEY.findall(content)
    if not keys:
        raise NotUpdatable(f"{TRUSTED} demands signatures and has no key", hint="openssl pkey -in KEY.pem -pubout")
    return keys
