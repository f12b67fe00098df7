"""What the history lane keeps: events, quarantine and the feature log, final windows and sessions."""
