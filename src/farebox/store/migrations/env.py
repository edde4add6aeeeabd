"""Alembic's entry: it runs on the connection that `store.database.migrate` hands over."""

from alembic import context

from farebox.store.tables import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata, transactional_ddl=True)
with context.begin_transaction():
    context.run_migrations()
