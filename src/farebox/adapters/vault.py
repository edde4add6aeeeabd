"""Secrets that have to be read again, sealed with AES-GCM under a key made from the server's secret."""

import secrets
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

KEY_BYTES: Final = 32
NONCE_BYTES: Final = 12


class AesVault:
    """The port `Vault`."""

    def __init__(self, secret: bytes) -> None:
        key = HKDF(SHA256(), KEY_BYTES, salt=None, info=b"farebox vault").derive(secret)
        self._cipher = AESGCM(key)

    def seal(self, plain: bytes, owner: str) -> bytes:
        nonce = secrets.token_bytes(NONCE_BYTES)
        return nonce + self._cipher.encrypt(nonce, plain, owner.encode())

    def unseal(self, sealed: bytes, owner: str) -> bytes | None:
        try:
            return self._cipher.decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], owner.encode())
        except (InvalidTag, ValueError):
            return None
