"""Local files without a process for each permission.

Hadoop sets the permissions of a local file, and of its checksum, by running `chmod`: 11 ms for each of Spark's two
small files a batch. Java can do it by itself; Spark has a compiler at hand for the class that says so.
"""

from __future__ import annotations

from typing import Any

from pyspark.sql import SparkSession

from streaming.janino import loader

NAME = "TidemarkLocalFileSystem"
SOURCE = """
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.attribute.PosixFilePermissions;
import org.apache.hadoop.fs.LocalFileSystem;
import org.apache.hadoop.fs.Path;
import org.apache.hadoop.fs.RawLocalFileSystem;
import org.apache.hadoop.fs.permission.FsPermission;

public class TidemarkLocalFileSystem extends LocalFileSystem {
    public TidemarkLocalFileSystem() {
        super(new Raw());
    }

    public static class Raw extends RawLocalFileSystem {
        public void setPermission(Path path, FsPermission mode) throws IOException {
            if (mode.getStickyBit()) {
                super.setPermission(path, mode);
            } else {
                Files.setPosixFilePermissions(pathToFile(path).toPath(), PosixFilePermissions.fromString(mode.toString()));
            }
        }
    }
}
"""


def install(spark: SparkSession) -> None:
    """Have the session's JVM use it wherever it asks Hadoop for the local file system."""
    jvm: Any = spark._jvm
    hadoop = jvm.org.apache.hadoop.fs
    uri = jvm.java.net.URI("file:///")
    settings = jvm.org.apache.hadoop.conf.Configuration(spark.sparkContext._jsc.hadoopConfiguration())
    held = hadoop.FileSystem.get(uri, settings)
    if held.getClass().getName() == NAME:
        return
    settings.setClassLoader(loader(jvm, SOURCE, settings.getClassLoader()))
    settings.set("fs.file.impl", NAME)
    # Hadoop hands out one for the whole process, until it is closed, which does nothing else to a local one.
    held.close()
    hadoop.FileSystem.get(uri, settings)
