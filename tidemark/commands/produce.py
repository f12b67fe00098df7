"""tidemark produce: the generators' producer under the command's name."""

from __future__ import annotations

from generators.producer import produce as command

__all__ = ["command"]
