"""The databases, shops and seeds of `tests/api`, for tests that take minutes."""

from tests.api.conftest import database_kind, fresh_database_url, seed

__all__ = ["database_kind", "fresh_database_url", "seed"]
