"""Scores and prices of the underwriting system, as functions over columns.

Each module has `OUTPUTS` (name: type) and `score(inputs) -> {name: list}`, where `inputs` maps names to
columns of equal length, with None where a value is not known. The on-demand views call these.
"""
