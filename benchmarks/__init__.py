"""Speed and memory, measured beside the peer in the same run."""
