"""The HTTP API: features, entities, scores and alerts for whoever speaks JSON; started by `tidemark serve`."""
