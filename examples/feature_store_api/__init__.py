"""A fraud feature store with an API: features in Redis and PostgreSQL, a deep model, and what the store is worth."""
