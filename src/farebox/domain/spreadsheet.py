"""What goes into a cell of a CSV file, which will be opened in a spreadsheet."""

import json
from typing import Final

# A spreadsheet takes a cell that begins so for a formula, and a customer can choose such an address or such a name.
FORMULA_STARTS: Final = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")  # noqa: RUF001


def cell(value: object) -> object:
    """A value as its cell has it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        return json.dumps(value)
    if isinstance(value, str) and value.startswith(FORMULA_STARTS):
        return f"'{value}"
    return value
