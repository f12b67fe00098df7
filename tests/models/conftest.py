"""Tests of models use the naive oracle's helpers of history's tests."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parent.parent / "history"))
