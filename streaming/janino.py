"""Small Java classes for the session's JVM, by the compiler that Spark has for its own."""

from __future__ import annotations

import io
import zipfile
from functools import lru_cache
from importlib import resources
from pathlib import Path
from typing import Any

from py4j.protocol import Py4JJavaError
from pyspark import SparkContext
from pyspark.sql import SparkSession

PACKAGE = "tidemark"


def loader(jvm: Any, source: str, parent: Any) -> Any:
    """A class loader, below `parent`, that has the classes of `source`."""
    return _cooked(jvm, source, parent).getClassLoader()


def classes(jvm: Any, source: str, parent: Any) -> dict[str, bytes]:
    """Names and byte code of the classes of `source`, which may use those of `parent`."""
    made = _cooked(jvm, source, parent).getBytecodes()
    return {name: bytes(code) for name, code in made.items()}


def _cooked(jvm: Any, source: str, parent: Any) -> Any:
    compiler = jvm.org.codehaus.janino.SimpleCompiler()
    compiler.setParentClassLoader(parent)
    compiler.cook(source)
    return compiler


def compiled(spark: SparkSession, name: str, source: str, *given: Any) -> Any:
    """An instance of the class `name` of `source`, made by its only constructor from `given`."""
    context: Any = spark.sparkContext
    return _constructor(context._gateway, name, source).newInstance(array(context, *given))


@lru_cache(maxsize=16)
def _constructor(gateway: Any, name: str, source: str) -> Any:
    """Once for a JVM: Py4J remembers methods by the name of their class, whichever loader it is of."""
    parent = gateway.jvm.org.apache.spark.util.Utils.getContextOrSparkClassLoader()
    (constructor,) = loader(gateway.jvm, source, parent).loadClass(name).getConstructors()
    return constructor


def array(context: SparkContext, *values: Any) -> Any:
    """A Java array of objects."""
    gateway: Any = context._gateway
    made = gateway.new_array(gateway.jvm.Object, len(values))
    for place, value in enumerate(values):
        made[place] = value
    return made


def installed(context: SparkContext, name: str, *given: Any) -> Any:
    """An instance of the class of `java/<name>.java`, which this JVM and its executors have from now on; made by its
    only constructor from `given`."""
    return _installed(context, name).newInstance(array(context, *given))


@lru_cache(maxsize=16)
def _installed(context: SparkContext, name: str) -> Any:
    jvm: Any = context._jvm
    utils = jvm.org.apache.spark.util.Utils
    parent = utils.getContextOrSparkClassLoader()
    try:
        found = parent.loadClass(f"{PACKAGE}.{name}")
    except Py4JJavaError:
        jar = Path(utils.createTempDir().getPath()) / f"{PACKAGE}-{name}.jar"
        source = resources.files("streaming").joinpath(f"java/{name}.java").read_text()
        jar.write_bytes(_jar(classes(jvm, source, parent)))
        parent.addURL(jvm.java.io.File(str(jar)).toURI().toURL())
        found = parent.loadClass(f"{PACKAGE}.{name}")
    # The next session of this JVM finds the class, and its executors need it all the same.
    context._jsc.addJar(found.getProtectionDomain().getCodeSource().getLocation().getPath())
    (only,) = found.getConstructors()
    return only


def _jar(code: dict[str, bytes]) -> bytes:
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w") as jar:
        for name, content in code.items():
            jar.writestr(name.replace(".", "/") + ".class", content)
    return held.getvalue()
