"""How a line of the log is written: without the rows that a database's errors quote."""

import logging
import re
from typing import Final

# PostgreSQL's DETAIL, also within the repr of an error: a row's values, such as addresses and what people wrote.
ROW: Final = re.compile(r"((?<![A-Z])DETAIL:\s+)(?:(?!\\n).)*")


class Lines(logging.Formatter):
    """Formats lines without such rows, in an error's traceback as well."""

    def format(self, record: logging.LogRecord) -> str:
        return ROW.sub(r"\1(not logged)", super().format(record))
