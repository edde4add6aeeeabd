"""An authenticator in software: it makes passkeys and signs with them, rightly or, if told so, wrongly."""

import base64
import hashlib
import json
import secrets
from typing import Any

import cbor2
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256

PRESENT, VERIFIED, HAS_KEY = 0x01, 0x04, 0x40


class Authenticator:
    """Holds one passkey. What it does wrongly is said where it answers: an origin, a host, flags, a count."""

    def __init__(self) -> None:
        self.id = secrets.token_bytes(32)
        self.user_handle = b""
        self.count = 0
        self._key = ec.generate_private_key(ec.SECP256R1())

    def make(self, options: str, at: str, **wrong: Any) -> str:  # noqa: ANN401
        """The answer to a registration, as the browser's script sends it."""
        said: dict[str, Any] = json.loads(options)
        self.user_handle = _bytes(said["user"]["id"])
        data = self._data(wrong.get("host", said["rp"]["id"]), wrong.get("flags", PRESENT | VERIFIED) | HAS_KEY)
        data += bytes(16) + len(self.id).to_bytes(2) + self.id + self._public_key()
        client = _client("webauthn.create", said["challenge"], wrong.get("origin", at))
        made = cbor2.dumps({"fmt": "none", "attStmt": {}, "authData": data})
        response = {
            "clientDataJSON": _text(client),
            "attestationObject": _text(made),
            "transports": ["internal", "made-up"],
        }
        return self._answer(response)

    def show(self, options: str, at: str, **wrong: Any) -> str:  # noqa: ANN401
        """The answer to a log-in."""
        said: dict[str, Any] = json.loads(options)
        self.count = wrong.get("count", self.count + 1)
        data = self._data(wrong.get("host", said["rpId"]), wrong.get("flags", PRESENT | VERIFIED))
        kind = wrong.get("kind", "webauthn.get")
        client = _client(kind, wrong.get("challenge", said["challenge"]), wrong.get("origin", at))
        signed = self._key.sign(data + hashlib.sha256(client).digest(), ec.ECDSA(SHA256()))
        response = {
            "clientDataJSON": _text(client),
            "authenticatorData": _text(data),
            "signature": _text(signed[:-1] + bytes([signed[-1] ^ 1]) if wrong.get("is_forged") else signed),
            "userHandle": _text(wrong.get("user_handle", self.user_handle)),
        }
        return self._answer(response)

    def _answer(self, response: dict[str, Any]) -> str:
        return json.dumps({"id": _text(self.id), "rawId": _text(self.id), "type": "public-key", "response": response})

    def _data(self, host: str, flags: int) -> bytes:
        return hashlib.sha256(host.encode()).digest() + bytes([flags]) + self.count.to_bytes(4)

    def _public_key(self) -> bytes:
        point = self._key.public_key().public_numbers()
        return bytes(cbor2.dumps({1: 2, 3: -7, -1: 1, -2: point.x.to_bytes(32), -3: point.y.to_bytes(32)}))


def _client(kind: str, challenge: str, origin: str) -> bytes:
    return json.dumps({"type": kind, "challenge": challenge, "origin": origin, "crossOrigin": False}).encode()


def _bytes(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def _text(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).decode().rstrip("=")
