"""History: what any feature was at any moment, computed from the stored events."""
