"""A real SMTP server in a thread, which keeps what it is handed, and may be told to be difficult."""

import asyncio
import threading
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from typing import Any, Self

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from tests.services.process import free_port


class MailServer:
    """Listens on a port of its own. `refusals` and `data_answers` are what the next are told, after `data_seconds`."""

    def __init__(self, *, user: str = "", password: str = "", port: int = 0, **options: Any) -> None:  # noqa: ANN401
        self.port = port or free_port()
        self.letters: list[EmailMessage] = []
        self.envelopes: list[tuple[str, list[str]]] = []
        self.refusals: list[str] = []
        self.data_answers: list[str] = []
        self.data_seconds = 0.0
        self.connections = 0
        self._lock = threading.Lock()
        if user:
            options |= {"authenticator": _only(user, password), "auth_required": True}
        self._options = options
        self._controller: Controller | None = None

    @property
    def url(self) -> str:
        return f"smtp://127.0.0.1:{self.port}"

    def start(self) -> Self:
        self._controller = Controller(self, "127.0.0.1", self.port, ready_timeout=60, **self._options)
        self._controller.start()
        return self

    def stop(self) -> None:
        controller, self._controller = self._controller, None
        if controller is not None:
            controller.stop()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def to(self, address: str) -> list[EmailMessage]:
        with self._lock:
            pairs = zip(self.envelopes, self.letters, strict=True)
            return [letter for (_, recipients), letter in pairs if address in recipients]

    # -- aiosmtpd's hooks

    async def handle_EHLO(  # noqa: N802  # aiosmtpd's name
        self, server: SMTP, session: Session, envelope: Envelope, hostname: str, responses: list[str]
    ) -> list[str]:
        del server, envelope
        self.connections += 1
        session.host_name = hostname
        return responses

    async def handle_RCPT(  # noqa: N802
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        del server, session, options
        if self.refusals:
            return self.refusals.pop(0)
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        del server, session
        await asyncio.sleep(self.data_seconds)
        if self.data_answers:
            return self.data_answers.pop(0)
        content = envelope.content
        assert isinstance(content, bytes)
        letter = message_from_bytes(content, _class=EmailMessage, policy=default)
        with self._lock:
            self.letters.append(letter)
            self.envelopes.append((envelope.mail_from or "", list(envelope.rcpt_tos)))
        return "250 OK"


def _only(user: str, password: str) -> Any:  # noqa: ANN401  # aiosmtpd's own type of function
    def check(server: SMTP, session: Session, envelope: Envelope, mechanism: str, data: object) -> AuthResult:
        del server, session, envelope, mechanism
        assert isinstance(data, LoginPassword)
        is_right = (data.login, data.password) == (user.encode(), password.encode())
        return AuthResult(success=is_right, handled=False)

    return check


def text_of(letter: EmailMessage) -> str:
    """What the letter says to a reader of plain text."""
    body = letter.get_body(("plain",))
    assert body is not None
    return str(body.get_content()).replace("\r\n", "\n")
