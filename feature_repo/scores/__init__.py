"""Risk scores: formulas over arrays, written once for Feast's on-demand views and for everyone who scores.

Each domain has a module (claims, transactions, iot, cross_event) with

    score(features, request) -> {name: array}

Both arguments map names to columns of equal length: pandas Series, numpy arrays or lists, where None, NaN
and NaT are null. `features` are those of the stream views, `request` the fields of the event that is scored;
one mapping may serve as both. No formula raises on a null; docs/scores.md says what a null means.
"""
