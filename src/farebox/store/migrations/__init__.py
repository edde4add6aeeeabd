"""The schema's history, run by Alembic. A released revision is never edited."""

from typing import Final

# The revision that the code needs, so that a start need not load Alembic to find it; a test compares it to the files.
HEAD: Final = "0007"
