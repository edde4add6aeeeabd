"""Farebox turns a Python function into a paid AI service. This is the founder's vocabulary; nothing else is public."""

from farebox.app import Farebox
from farebox.domain.errors import FounderError
from farebox.domain.plan import Plan

__all__ = ["Farebox", "FounderError", "Plan"]
