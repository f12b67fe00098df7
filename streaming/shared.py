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
    """`held` are common subexpressions by name (`prefix` and a number); `rest` what is left of a text, by text.

    Only texts of which nothing but common subexpressions is left are in `rest`: they need no column of the
    events themselves, all of which contain `root`.
    """

    prefix: str
    root: str
    held: dict[str, str] = field(default_factory=dict)
    rest: dict[str, str] = field(default_factory=dict)

    @staticmethod
    def of(texts: Sequence[str], prefix: str, root: str) -> Shared:
        """Of some SQL expressions. One with a lambda is left alone: its variables are known within it only."""
        found = Shared(prefix, root)
        plain = [text for text in dict.fromkeys(texts) if "->" not in text]
        counts = Counter(group for text in plain for group in _groups(text))
        common = {group: count for group, count in counts.items() if count > 1 and root in group}
        # Without those of which a part is needed elsewhere too: the part is what is shared.
        common = {
            group: count
            for group, count in common.items()
            if all(common[part] == count * group.count(part) for part in common if part in group)
        }
        for text in plain:
            names: dict[str, str] = {}
            left = text
            for group in sorted(common, key=len, reverse=True):
                if group in left:
                    names[group] = found._name(group, names)
                    left = left.replace(group, names[group])
            if names and root not in left:
                found.rest[text] = left
                found.held |= {name: group for group, name in names.items()}
        return found

    def _name(self, group: str, names: dict[str, str]) -> str:
        known = {held: name for name, held in self.held.items()}
        return known.get(group, f"{self.prefix}{len(self.held.keys() | set(names.values()))}")


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
