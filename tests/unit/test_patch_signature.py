"""Signatures on patches: who may demand them, and what passes when they are demanded."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from upstare.cli import main
from upstare.errors import NotUpdatable
from upstare.patch import signature
from upstare.patch.file import read_patch, write_patch
from upstare.release import ABI

HEADER = {"abi": ABI, "from_build": "a" * 64, "to_build": "b" * 64, "program": "prog", "report": {}}


@pytest.fixture
def patch(tmp_path: Path) -> Path:
    path = tmp_path / "x.upatch"
    write_patch(path, HEADER, b"an image")
    return path


@pytest.fixture
def trusted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the keys are, on this machine."""
    path = tmp_path / "trusted.pem"
    monkeypatch.setattr(signature, "TRUSTED", path)
    return path


def public(*keys: Ed25519PrivateKey) -> bytes:
    pem = [key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo) for key in keys]
    return b"a word between\n".join(pem)


def sign(patch: Path, key: Ed25519PrivateKey) -> None:
    patch.with_name("x.upatch.sig").write_bytes(key.sign(patch.read_bytes()))


def test_nothing_is_demanded(patch: Path, trusted: Path) -> None:
    assert read_patch(patch).payload == b"an image"


def test_signed_by_any_of_them(patch: Path, trusted: Path) -> None:
    keys = [Ed25519PrivateKey.generate() for _ in range(3)]
    trusted.write_bytes(public(*keys))
    for key in keys:
        sign(patch, key)
        assert read_patch(patch).payload == b"an image"


def test_unsigned(patch: Path, trusted: Path, capsys: pytest.CaptureFixture[str]) -> None:
    trusted.write_bytes(public(Ed25519PrivateKey.generate()))
    assert main(["apply", str(patch), "--pid", str(os.getpid())]) == 3
    error = capsys.readouterr().err
    assert f"demands a signature, and that of {patch} cannot be read: No such file" in error
    assert f"openssl pkeyutl -sign -rawin -inkey KEY.pem -in {patch} -out {patch}.sig" in error


def test_signed_by_a_stranger(patch: Path, trusted: Path) -> None:
    trusted.write_bytes(public(Ed25519PrivateKey.generate()))
    sign(patch, Ed25519PrivateKey.generate())
    with pytest.raises(NotUpdatable, match="is by none of the keys"):
        read_patch(patch)


@pytest.mark.parametrize("signature", [b"", b"x" * 64, b"x" * 63, b"x" * 5000])
def test_no_signature_at_all(patch: Path, trusted: Path, signature: bytes) -> None:
    trusted.write_bytes(public(Ed25519PrivateKey.generate()))
    patch.with_name("x.upatch.sig").write_bytes(signature)
    with pytest.raises(NotUpdatable, match="is by none of the keys"):
        read_patch(patch)


def test_signed_before_it_was_changed(patch: Path, trusted: Path) -> None:
    key = Ed25519PrivateKey.generate()
    trusted.write_bytes(public(key))
    sign(patch, key)
    write_patch(patch, HEADER, b"another image")  # whole, with a digest that fits
    with pytest.raises(NotUpdatable, match="is for another content"):
        read_patch(patch)


def test_others_could_have_written_the_keys(patch: Path, trusted: Path) -> None:
    key = Ed25519PrivateKey.generate()
    trusted.write_bytes(public(key))
    sign(patch, key)
    assert read_patch(patch).payload == b"an image"
    trusted.chmod(0o664)
    with pytest.raises(NotUpdatable, match="can be written by others than root"):
        read_patch(patch)


def test_a_demand_that_cannot_be_met_refuses_all(patch: Path, trusted: Path) -> None:
    sign(patch, Ed25519PrivateKey.generate())
    trusted.write_bytes(b"")
    with pytest.raises(NotUpdatable, match="has no key"):
        read_patch(patch)
    trusted.write_bytes(b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n")
    with pytest.raises(NotUpdatable, match="has a key that cannot be read"):
        read_patch(patch)
    other = generate_private_key(SECP256R1()).public_key()
    trusted.write_bytes(other.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    with pytest.raises(NotUpdatable, match="no Ed25519 key"):
        read_patch(patch)
    trusted.unlink()
    trusted.mkdir()
    with pytest.raises(NotUpdatable, match="demands signatures and cannot be read: Is a directory"):
        read_patch(patch)


@pytest.mark.skipif(shutil.which("openssl") is None, reason="there is no openssl")
def test_signed_as_the_hint_says(patch: Path, trusted: Path, tmp_path: Path) -> None:
    key = Ed25519PrivateKey.generate()
    private = tmp_path / "key.pem"
    private.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    subprocess.run(["openssl", "pkey", "-in", private, "-pubout", "-out", trusted], check=True)
    hint = f"openssl pkeyutl -sign -rawin -inkey {private} -in {patch} -out {patch}.sig"
    subprocess.run(hint.split(), check=True)
    assert read_patch(patch).payload == b"an image"
