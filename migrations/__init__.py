"""The schema's history, one dated file per change. `app.db.migration` runs it; nothing else imports it."""
