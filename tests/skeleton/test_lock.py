"""The lock: complete, hashed, and without the address of any registry."""

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ADDRESS = re.compile(r"https?://|git\+|file:|--(extra-)?index-url|--find-links|--trusted-host")


@pytest.mark.parametrize("name", ["requirements.lock", "conf/ivy.xml", "conf/jars.sha256", ".ci/bootstrap"])
def test_names_no_place_to_download_from(name):
    assert ADDRESS.findall((ROOT / name).read_text()) == []


def entries() -> dict[str, str]:
    """Each locked requirement and its hashes, by normalised name."""
    text = (ROOT / "requirements.lock").read_text()
    blocks = re.split(r"^(?=[a-z0-9])", text, flags=re.M | re.I)
    return {re.split(r"==", b)[0].split("[")[0].strip().lower(): b for b in blocks if "==" in b}


def test_every_requirement_has_one_version_and_hashes():
    locked = entries()
    assert len(locked) > 80
    for name, block in locked.items():
        assert re.match(rf"{re.escape(name)}(\[\S+\])?==[^\s;]+", block, re.I), name
        assert "--hash=sha256:" in block, name


def test_everything_the_project_asks_for_is_locked_as_asked():
    from packaging.requirements import Requirement

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    asked = project["dependencies"] + [
        r for extra in project["optional-dependencies"].values() for r in extra
    ]
    locked = entries()
    for text in asked:
        wanted = Requirement(text)
        found = re.search(r"==([^\s;\\]+)", locked[wanted.name.lower()])
        assert found is not None
        assert wanted.specifier.contains(found[1]), text
