"""A certificate that nobody but its maker trusts."""

import shutil
import subprocess
from pathlib import Path


def self_signed(folder: Path) -> Path | None:
    """A file with a key and its certificate for 127.0.0.1; None where there is no `openssl`."""
    openssl = shutil.which("openssl")
    if openssl is None:
        return None
    both = folder / "self-signed.pem"
    key, certificate = folder / "key.pem", folder / "certificate.pem"
    command = [openssl, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=127.0.0.1"]
    names = ["-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost"]
    subprocess.run([*command, *names, "-keyout", key, "-out", certificate], check=True, capture_output=True)
    both.write_text(key.read_text() + certificate.read_text())
    return both
