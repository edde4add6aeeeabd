"""How a line of the log is written: without the rows and the values that errors quote, and as one entry."""

import logging
import re
from typing import Final

# PostgreSQL's DETAIL, also within the repr of an error: a row's values, such as addresses and what people wrote.
ROW: Final = re.compile(r"((?<![A-Z])DETAIL:\s+)(?:(?!\\n).)*")

# What pydantic's errors say of a value: the words of a customer or a model, where a founder's own model refuses them.
VALUE: Final = re.compile(r"(input_value=).*(?=, input_type=)")

# What moves a terminal's cursor, or clears it.
CONTROL: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


class Lines(logging.Formatter):
    """Formats lines without such rows and values, in an error's traceback as well.

    Only an entry's first line is not indented: what another service said cannot look like an entry of ours.
    """

    def format(self, record: logging.LogRecord) -> str:
        told = VALUE.sub(r"\1(not logged)", ROW.sub(r"\1(not logged)", super().format(record)))
        return CONTROL.sub(lambda found: f"\\x{ord(found[0]):02x}", told).replace("\n", "\n  ")
