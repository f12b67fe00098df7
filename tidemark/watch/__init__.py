"""What `tidemark watch` shows: the lanes' metrics and the latest alerts, as they change."""
