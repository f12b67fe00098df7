"""Scores of events, exact at the event: each entity's ring, advanced event by event, and the formulas over it."""
