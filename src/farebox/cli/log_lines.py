"""How a line of the log is written: without the rows and the values that errors quote."""

import logging
import re
from typing import Final

# PostgreSQL's DETAIL, also within the repr of an error: a row's values, such as addresses and what people wrote.
ROW: Final = re.compile(r"((?<![A-Z])DETAIL:\s+)(?:(?!\\n).)*")

# What pydantic's errors say of a value: the words of a customer or a model, where a founder's own model refuses them.
VALUE: Final = re.compile(r"(input_value=).*(?=, input_type=)")


class Lines(logging.Formatter):
    """Formats lines without such rows and values, in an error's traceback as well."""

    def format(self, record: logging.LogRecord) -> str:
        return VALUE.sub(r"\1(not logged)", ROW.sub(r"\1(not logged)", super().format(record)))
