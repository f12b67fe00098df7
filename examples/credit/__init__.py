"""Credit scoring on Tidemark: data, features, a model, decisions with reasons."""
