"""What was typed into a form, and what is wrong with it."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class FormState:
    """What a form is shown with. A password is never among the values."""

    values: Mapping[str, str] = field(default_factory=dict)
    errors: Mapping[str, str] = field(default_factory=dict)
    """A sentence for each field that is wrong; under "" what is wrong with the whole."""

    def value(self, name: str) -> str:
        return self.values.get(name, "")

    def error(self, name: str) -> str:
        return self.errors.get(name, "")

    def is_first_wrong(self, name: str) -> bool:
        """Whether the reader should begin here."""
        return next(iter(self.errors), None) == name
