"""What is served beside a product while it is developed."""

from collections.abc import Callable
from typing import NamedTuple, Protocol

from starlette.types import Receive, Scope, Send


class Service(Protocol):
    """An application with a life of its own."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None: ...
    def start(self) -> None: ...
    def stop(self) -> None: ...


class Beside(NamedTuple):
    """What is served beside the product."""

    service: Service
    once_served: Callable[[], None]
