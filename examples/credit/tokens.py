"""National ids never leave the edge: features are keyed by a token of (date of birth, last four digits)."""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Iterable

from streaming.errors import TidemarkError

SHAPE = re.compile(r"(19|20)\d{2}(0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01])_\d{4}")


class WrongId(TidemarkError):
    """An id that cannot be one."""


def token(dob_ssn: str, key: str) -> str:
    """The 32 hexadecimal digits that stand for `dob_ssn` (YYYYMMDD_NNNN). Raises WrongId for another shape."""
    if not SHAPE.fullmatch(dob_ssn):
        raise WrongId("dob_ssn is not YYYYMMDD_NNNN: give the date of birth and the last four digits")
    return hmac.new(key.encode(), dob_ssn.encode(), hashlib.sha256).hexdigest()[:32]


def tokens(ids: Iterable[str], key: str) -> list[str]:
    """`token` of each."""
    return [token(one, key) for one in ids]
