"""The tables of docs/security.md, held against the code."""

import re
from pathlib import Path

from generators.tokens import LEAST
from streaming.kafka import KafkaSecurity

PAGE = (Path(__file__).parents[2] / "docs" / "security.md").read_text()


def test_every_setting_of_kafka_is_listed_with_its_default():
    table = dict(re.findall(r"^\| `(TIDEMARK_KAFKA_\w+)` \| (\S+) \|", PAGE, re.M))
    fields = KafkaSecurity.model_fields
    assert table.keys() == {f"TIDEMARK_KAFKA_{name.upper()}" for name in fields}
    for name, field in fields.items():
        shown = "none" if field.default is None else f"`{field.default}`"
        assert table[f"TIDEMARK_KAFKA_{name.upper()}"] == shown


def test_the_least_length_of_a_token_key_is_said():
    assert f"at least {LEAST} bytes" in PAGE
