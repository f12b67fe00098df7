"""How rings and features live in Redis, beside what Feast keeps there."""
