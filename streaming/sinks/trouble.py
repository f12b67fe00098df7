"""What went wrong at a destination, in one line."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from pyspark.errors import AnalysisException

from streaming.errors import TidemarkError
from streaming.sinks.contract import SinkAway, SinkRefused

_NOISE = re.compile(r"^(at |\.\.\. |File |Traceback|During handling|The above exception)")


def gist(error: Exception) -> str:
    """The line of an error that says most: of a Java trace its innermost cause."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    lines = [line for line in lines if not _NOISE.match(line)]
    causes = [line for line in lines if line.startswith("Caused by:")]
    raised = [line for line in lines if re.match(r"[\w.]+(Error|Exception|Unavailable|Privilege)\b", line)]
    said = next(iter([*reversed(causes), *reversed(raised), *lines]), type(error).__name__)
    return said.removeprefix("Caused by:").strip()[:300]


@contextmanager
def reported(what: str) -> Iterator[None]:
    """Raise what happens to `what` as SinkAway, or as SinkRefused where Spark says the rows do not fit."""
    try:
        yield
    except TidemarkError:
        raise
    except AnalysisException as error:
        raise SinkRefused(
            f"{what} does not take the batch ({gist(error)}): make its columns fit, or move it away"
        ) from error
    except Exception as error:
        raise SinkAway(
            f"{what} cannot be written ({gist(error)}): see whether it is there and writable"
        ) from error
