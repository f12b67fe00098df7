"""Small Java classes for the session's JVM, by the compiler that Spark has for its own."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from pyspark.sql import SparkSession


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
    gateway: Any = spark.sparkContext._gateway
    arguments = gateway.new_array(gateway.jvm.Object, len(given))
    for place, value in enumerate(given):
        arguments[place] = value
    return _constructor(gateway, name, source).newInstance(arguments)


@lru_cache(maxsize=16)
def _constructor(gateway: Any, name: str, source: str) -> Any:
    """Once for a JVM: Py4J remembers methods by the name of their class, whichever loader it is of."""
    parent = gateway.jvm.org.apache.spark.util.Utils.getContextOrSparkClassLoader()
    (constructor,) = loader(gateway.jvm, source, parent).loadClass(name).getConstructors()
    return constructor
