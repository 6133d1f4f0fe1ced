"""Alembic's entry: runs migrations on the connection that `app.db.migration` hands over, inside its transaction."""

from alembic import context

from app.db.webhook_models import DELIVERIES

connection = context.config.attributes["connection"]
context.configure(
    connection=connection,
    target_metadata=DELIVERIES.metadata,
    # SQLite can change a column only by copying the table; Alembic does that in batch mode.
    render_as_batch=True,
    transactional_ddl=True,
)
with context.begin_transaction():
    context.run_migrations()
