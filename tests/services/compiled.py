"""Each database of the tests has an engine of its own, and each engine would compile the same statements again."""

from typing import Any

import sqlalchemy
from sqlalchemy import URL, Engine


def share_compiled() -> None:
    """Have the engines of this process that are for one kind of database share what SQLAlchemy compiled for it."""
    create = sqlalchemy.create_engine
    firsts: dict[str | URL, Engine] = {}

    def created(url: str | URL, **options: Any) -> Engine:  # noqa: ANN401  # as SQLAlchemy has them
        engine = create(url, **options)
        first = firsts.setdefault(url, engine)
        if hasattr(first.dialect, "server_version_info"):  # it has been connected, and knows what it talks to
            engine.dialect = engine.pool._dialect = first.dialect
            engine._compiled_cache = first._compiled_cache
        return engine

    sqlalchemy.create_engine = created
