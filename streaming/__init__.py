"""The engine: Feast stream views in, exact windowed features out."""

from streaming import feast_import

feast_import.install()
