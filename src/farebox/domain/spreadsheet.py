"""What goes into a cell of a CSV file, which will be opened in a spreadsheet."""

import json
from typing import Final

# A spreadsheet takes a cell that begins like this for a formula, and customers can choose such addresses and names.
FORMULA_STARTS: Final = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")  # noqa: RUF001


def cell(value: object) -> object:
    """A value as it is written into its cell."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        return json.dumps(value)
    if isinstance(value, str) and value.startswith(FORMULA_STARTS):
        return f"'{value}"
    return value
