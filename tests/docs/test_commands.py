"""Commands, links and configuration on the pages."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from commands import PAGES, ROOT, blocks, check, commands

SUBMITTED = (
    "--packages org.apache.spark:spark-sql-kafka-0-10_2.13:4.2.0 streaming/jobs/online.py --repo feature_repo"
)
COMMANDS = [(page.name, words) for page in PAGES for words in commands(page)]


@pytest.mark.parametrize(("page", "words"), COMMANDS, ids=[f"{p}: {' '.join(w)[:60]}" for p, w in COMMANDS])
def test_every_command_on_a_page_exists_with_its_options(page, words):
    check(words)


@pytest.mark.parametrize(
    "words",
    [
        "tidemark teleport",
        "tidemark produce --sideways",
        "tidemark stream sideways",
        "tidemark topics apply --partitions",
        "make tea",
        "make demo ARGS=--long",
        "feast -c feature_repo fly",
        "spark-submit --packages org.apache.spark:spark-sql-kafka-0-10_2.13:1.0 streaming/jobs/online.py --repo x",
        f"spark-submit --properties-file conf/none.conf {SUBMITTED}",
        f"spark-submit --propertys-file conf/redis.conf {SUBMITTED}",
    ],
)
def test_a_command_that_does_not_exist_is_noticed(words):
    with pytest.raises(AssertionError):
        check(words.split())


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    for link in re.findall(r"\]\(([^)#]+)\)", page.read_text()):
        if not link.startswith("https://"):
            assert (page.parent / link).exists(), link


def test_the_readme_names_every_command():
    from tidemark.cli import Commands

    shown = {words[1] for page, words in COMMANDS if page == "README.md" and words[0].endswith("tidemark")}
    assert set(Commands(name="tidemark").commands) - {"jars", "demo", "bench"} <= shown


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_python_on_a_page_compiles(page):
    for block in blocks(page, "python"):
        compile(block, page.name, "exec")


def test_the_store_that_configure_shows_is_the_shipped_one():
    (shown,) = blocks(ROOT / "docs" / "configure.md", "yaml")
    shipped = yaml.safe_load((ROOT / "feature_repo" / "feature_store.yaml").read_text())
    assert yaml.safe_load(shown).items() <= shipped.items()


def test_the_feature_that_the_readme_defines_can_be_computed(tmp_path):
    from streaming import definitions

    definition = next(b for b in blocks(ROOT / "README.md", "python") if "StreamFeatureView(" in b)
    (settings,) = blocks(ROOT / "README.md", "yaml")
    (tmp_path / "feature_store.yaml").write_text(settings)
    (tmp_path / "definitions.py").write_text(definition)
    done = subprocess.run(
        [Path(sys.executable).with_name("feast"), "-c", str(tmp_path), "apply"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    (view,) = definitions.load(tmp_path).views
    assert {f.function for f in view.features} == {"count", "mean"}
    assert [w.length for w in view.windows] == [600_000, 86_400_000]
