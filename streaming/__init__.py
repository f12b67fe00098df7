"""The engine: Feast stream views in, exact windowed features out."""
