"""Long-running queries: each lane reads Kafka on its own and can stop without the others."""
