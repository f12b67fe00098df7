"""Insurance underwriting and claims on Tidemark: data, features, decisions."""
