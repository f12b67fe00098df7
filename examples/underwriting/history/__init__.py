"""The past of an insurer's customers: every table with several rows a key, as each was known at its time."""
