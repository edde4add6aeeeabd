"""Farebox turns a Python function into a paid AI service. This is the founder's vocabulary; nothing else is public."""

from farebox.app import Farebox
from farebox.call.handling import Call
from farebox.domain.brand import Brand
from farebox.domain.errors import FounderError
from farebox.domain.events import LimitNear, LimitReached, PaymentFailed, SignedUp
from farebox.domain.pack import Pack
from farebox.domain.plan import Plan
from farebox.web.upload import File

__all__ = [
    "Brand", "Call", "Farebox", "File", "FounderError", "LimitNear", "LimitReached", "Pack", "PaymentFailed", "Plan",
    "SignedUp",
]  # fmt: skip
