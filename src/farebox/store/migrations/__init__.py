"""The schema's history, run by Alembic. A released revision is never edited."""

from typing import Final

# What a process needs, said here so that a start need not load Alembic to find it; a test holds it to the files.
HEAD: Final = "0006"
