"""Subexpressions that several SQL expressions have in common, found in their text.

Spark evaluates what stands behind a CASE as often as it is written, and generates code for each of them.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

SHORTEST = 40
"""Characters: a shorter subexpression is cheaper than a column of its own."""

_TOKEN = re.compile(r"'(?:[^'\\]|\\.)*'|`[^`]*`|\w*\(|\)")


@dataclass
class Shared:
    """`held` are common subexpressions by name; `rest` is what is left of a text, by text.

    Only texts of which nothing but common subexpressions is left are in `rest`: they need no column of the
    events themselves.
    """

    held: dict[str, str] = field(default_factory=dict)
    rest: dict[str, str] = field(default_factory=dict)

    @staticmethod
    def of(texts: Sequence[str], prefix: str, root: str) -> Shared:
        """Of some SQL expressions, with names that begin with `prefix`; whatever is of an event contains `root`.

        An expression with a lambda is left alone: its variables are known within it only.
        """
        found = Shared()
        plain = [text for text in dict.fromkeys(texts) if "->" not in text]
        counts = Counter(group for text in plain for group in _groups(text))
        common = {group: count for group, count in counts.items() if count > 1 and root in group}
        # Without those of which a part is needed elsewhere too: the part is what is shared.
        common = {
            group: count
            for group, count in common.items()
            if all(common[part] == count * group.count(part) for part in common if part in group)
        }
        names = {group: f"{prefix}{n}" for n, group in enumerate(sorted(common, key=len, reverse=True))}
        for text in plain:
            left, used = text, {}
            for group, name in names.items():
                if group in left:
                    left, used[name] = left.replace(group, name), group
            if used and root not in left:
                found.rest[text] = left
                found.held |= used
        return found


def _groups(text: str) -> Iterator[str]:
    """Every call and every part in brackets that is long enough; a list after IN is neither."""
    begins: list[int] = []
    for token in _TOKEN.finditer(text):
        if token.group().endswith("("):
            begins.append(token.start())
        elif token.group() == ")":
            begin = begins.pop()
            if token.end() - begin >= SHORTEST and not text[:begin].endswith(" IN "):
                yield text[begin : token.end()]
