"""Alembic's entry: runs migrations on the connection that `app.db.migration` hands over, inside its transaction."""

from alembic import context

from app.db.models import GENERATIONS

connection = context.config.attributes["connection"]
context.configure(
    connection=connection,
    target_metadata=GENERATIONS.metadata,
    # SQLite can change a column only by copying the table; Alembic does that in batch mode.
    render_as_batch=True,
    transactional_ddl=True,
)
with context.begin_transaction():
    context.run_migrations()
