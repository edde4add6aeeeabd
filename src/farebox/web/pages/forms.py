"""The state of a form: what was typed into it, and what is wrong with it."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class FormState:
    """The values and errors that a form is shown with. A password is never among the values."""

    values: Mapping[str, str] = field(default_factory=dict)
    errors: Mapping[str, str] = field(default_factory=dict)
    """A sentence for each field that is wrong; under "" what is wrong with the whole."""

    def value(self, name: str) -> str:
        return self.values.get(name, "")

    def error(self, name: str) -> str:
        return self.errors.get(name, "")

    def is_first_wrong(self, name: str) -> bool:
        """Whether this is the first wrong field, where the reader should begin."""
        return next(iter(self.errors), None) == name
