"""Jars: fetched by the real Ivy from a mirror in a folder, checked, and fetched again when damaged."""

import hashlib
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from streaming.errors import ServiceError
from tidemark.jars import Jars, spark_jars
from tidemark.settings import LocalSettings, local_settings

IVY = """<ivy-module version="2.0">
  <info organisation="test" module="jars"/>
  <configurations><conf name="spark"/><conf name="broker"/></configurations>
  <dependencies defaultconfmapping="*->default">
    <dependency org="one" name="first" rev="1.0" conf="spark->default"/>
    <dependency org="two" name="second" rev="2.0" conf="spark->default"/>
  </dependencies>
</ivy-module>"""
MIRROR = """<ivysettings>
  <settings defaultResolver="folder"/>
  <resolvers><filesystem name="folder">
    <artifact pattern="{folder}/[artifact]-[revision].[ext]"/>
  </filesystem></resolvers>
</ivysettings>"""
CONTENT = {"first-1.0.jar": b"the first jar", "second-2.0.jar": b"the second jar"}


@pytest.fixture
def mirror(tmp_path: Path) -> Path:
    folder = tmp_path / "mirror"
    folder.mkdir()
    for name, content in CONTENT.items():
        (folder / name).write_bytes(content)
    return folder


@pytest.fixture
def jars(tmp_path: Path, mirror: Path) -> Jars:
    conf = tmp_path / "conf"
    conf.mkdir()
    (conf / "ivy.xml").write_text(IVY)
    sums = [f"{hashlib.sha256(content).hexdigest()}  spark/{name}" for name, content in CONTENT.items()]
    (conf / "jars.sha256").write_text("# comment\n" + "\n".join(sums) + "\n")
    (tmp_path / "ivysettings.xml").write_text(MIRROR.format(folder=mirror))
    settings = LocalSettings(
        conf_dir=conf, cache_dir=tmp_path / "cache", ivy_settings=tmp_path / "ivysettings.xml"
    )
    return Jars(settings, wait=0, attempts=2)


def contents(paths: list[Path]) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in paths}


def test_fetches_from_the_mirror_that_a_person_names(jars):
    assert contents(jars.ensure("spark", quiet=True)) == CONTENT


def test_a_second_call_needs_no_mirror(jars, mirror):
    jars.ensure("spark", quiet=True)
    for file in mirror.iterdir():
        file.unlink()
    assert contents(jars.ensure("spark", quiet=True)) == CONTENT


@pytest.mark.parametrize("damage", [b"the first jaR", b"", None])
def test_a_damaged_or_missing_jar_is_fetched_again(jars, damage):
    first = jars.ensure("spark", quiet=True)[0]
    first.unlink() if damage is None else first.write_bytes(damage)
    assert contents(jars.ensure("spark", quiet=True)) == CONTENT


def test_a_damaged_download_is_refused_and_not_remembered(jars, mirror, capsys):
    (mirror / "first-1.0.jar").write_bytes(b"cut off on the w")
    with pytest.raises(ServiceError, match=r"first-1\.0\.jar has another checksum.*TIDEMARK_IVY_SETTINGS"):
        jars.ensure("spark")
    assert capsys.readouterr().err.count("trying again") == 1
    assert not (jars.dir / "spark" / "first-1.0.jar").exists()
    (mirror / "first-1.0.jar").write_bytes(CONTENT["first-1.0.jar"])
    assert contents(jars.ensure("spark", quiet=True)) == CONTENT


def test_a_jar_that_the_mirror_lacks_is_named(jars, mirror):
    (mirror / "second-2.0.jar").unlink()
    with pytest.raises(ServiceError, match=r"two#second;2\.0: not found.*\(log: .*ivy\.log\)"):
        jars.ensure("spark", quiet=True)


def test_two_at_once_share_one_fetch(jars):
    with ThreadPoolExecutor(2) as pool:
        results = list(pool.map(lambda _: contents(jars.ensure("spark", quiet=True)), range(2)))
    assert results == [CONTENT, CONTENT]
    assert not list(jars.dir.glob("fetch-*"))


def test_settings_file_that_is_not_there(jars):
    lost = Jars(jars.settings.model_copy(update={"ivy_settings": Path("/nowhere.xml")}), wait=0, attempts=2)
    with pytest.raises(ServiceError, match=r"TIDEMARK_IVY_SETTINGS names /nowhere\.xml, which is not a file"):
        lost.ensure("spark", quiet=True)


def test_no_java_names_the_package(jars, tmp_path):
    without = Jars(jars.settings.model_copy(update={"java_home": tmp_path}), wait=0, attempts=2)
    with pytest.raises(ServiceError, match="apt install openjdk-17-jre-headless"):
        without.ensure("spark", quiet=True)


def test_our_list_and_our_checksums_name_the_same_jars():
    expected = Jars(local_settings()).expected
    ivy = (local_settings().conf_dir / "ivy.xml").read_text()
    pinned = re.findall(r'name="([^"]+)" rev="([^"]+)" conf="(\w+)->', ivy)
    assert len(pinned) == 12
    assert all(f"{conf}/{name}-{rev}.jar" in expected for name, rev, conf in pinned)
    assert sum(name.startswith("spark/") for name in expected) == 10
    assert all(re.fullmatch(r"[0-9a-f]{64}", digest) for digest in expected.values())


def test_spark_jars_are_present_and_right():
    expected = Jars(local_settings()).expected
    for path in spark_jars():
        assert hashlib.sha256(path.read_bytes()).hexdigest() == expected[f"spark/{path.name}"]
