"""Hadoop's local files with permissions set by Java itself, as a lane's session has them."""

from __future__ import annotations

import stat

import pytest

from streaming.local_files import NAME


def mode(path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_permissions_and_checksums_are_hadoops(spark, tmp_path):
    hadoop = spark._jvm.org.apache.hadoop
    settings = hadoop.conf.Configuration()
    where = hadoop.fs.Path(f"file://{tmp_path}/file")
    files = where.getFileSystem(settings)
    assert files.getClass().getName() == NAME, "whoever asks gets it"
    out = files.create(where, True)
    out.write(bytearray(b"some bytes"))
    out.close()
    assert (mode(tmp_path / "file"), mode(tmp_path / ".file.crc")) == (0o644, 0o644)
    files.setPermission(where, hadoop.fs.permission.FsPermission("640"))
    assert mode(tmp_path / "file") == 0o640
    folder = hadoop.fs.Path(f"file://{tmp_path}/folder")
    files.mkdirs(folder)
    files.setPermission(folder, hadoop.fs.permission.FsPermission("1770"))
    assert mode(tmp_path / "folder") == 0o1770, "a sticky bit is Hadoop's own affair"

    (tmp_path / "file").write_bytes(b"other byte")
    with pytest.raises(Exception, match="ChecksumException"):
        files.open(where).read()
