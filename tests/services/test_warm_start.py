"""The archive of Spark's classes: of one class path, made whole or not at all, never in the way."""

import shutil
import subprocess
from pathlib import Path

import pytest

from streaming.errors import ServiceError
from streaming.warm_start import Archive
from tidemark.jars import spark_jars


@pytest.fixture
def jars(tmp_path):
    return tuple(Path(shutil.copy2(jar, tmp_path)) for jar in spark_jars()[:2])


def test_a_changed_class_path_has_its_own_archive(jars):
    before = Archive(jars).path
    assert Archive(jars).path == before
    with jars[1].open("ab") as jar:
        jar.write(b"\0")
    assert Archive(jars).path != before
    assert before.parent == jars[0].parent


def test_one_that_was_not_made_is_not_used(jars):
    archive = Archive(jars)
    assert archive.options == ""
    archive.path.touch()
    assert str(archive.path) in archive.options


def test_a_failed_rehearsal_says_why_and_leaves_nothing(jars):
    held = sorted(jars[0].parent.iterdir())
    with pytest.raises(ServiceError, match=r"the rehearsal failed: .*no Kafka connector"):
        Archive(jars).make()
    assert sorted(jars[0].parent.iterdir()) == held


def test_java_works_with_one_that_does_not_fit(jars):
    archive = Archive(jars)
    archive.path.write_bytes(b"no archive")
    java = shutil.which("java")
    command = [java, *archive.options.replace("'", "").split(), "-version"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout == ""
    assert "version" in done.stderr


def test_made_already_it_takes_no_time_and_replaces_older_ones(jars):
    archive, old = Archive(jars), jars[0].parent / "start-0.jsa"
    archive.path.touch()
    old.touch()
    archive.make()
    assert archive.path.exists()
    assert not old.exists()
