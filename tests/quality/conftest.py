"""Tests of quality use the Feast objects of the definitions' tests and the stored shop of history's."""

import sys
from pathlib import Path

sys.path += [str(Path(__file__).parent.parent / folder) for folder in ("definitions", "history")]
