"""Spark's expressions over a few Kafka messages at a time, in one call into the JVM.

Each call has a fixed price, whatever its messages: what can be held from call to call is.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession

from streaming.errors import ServiceError
from streaming.janino import compiled
from streaming.parts import I64

ROWS = 1 << 20
"""Messages of one call, at most."""

RAW = "topic string, partition int, offset bigint, timestamp timestamp, value binary"
"""The columns of a Message, as the expressions see them."""


class Message(NamedTuple):
    """A Kafka message; `timestamp` is Kafka's, in ms since the epoch."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    value: bytes | None


JAVA = """
import java.io.EOFException;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.channels.FileChannel;
import java.nio.channels.WritableByteChannel;
import java.util.Iterator;
import org.apache.arrow.memory.BufferAllocator;
import org.apache.arrow.vector.FieldVector;
import org.apache.arrow.vector.VectorSchemaRoot;
import org.apache.arrow.vector.VectorUnloader;
import org.apache.arrow.vector.ipc.WriteChannel;
import org.apache.arrow.vector.ipc.message.ArrowRecordBatch;
import org.apache.arrow.vector.ipc.message.MessageSerializer;
import org.apache.arrow.vector.types.pojo.Schema;
import org.apache.spark.sql.catalyst.InternalRow;
import org.apache.spark.sql.catalyst.expressions.GenericInternalRow;
import org.apache.spark.sql.execution.arrow.ArrowWriter;
import org.apache.spark.sql.execution.arrow.ArrowWriter$;
import org.apache.spark.sql.types.StructType;
import org.apache.spark.sql.util.ArrowUtils$;
import org.apache.spark.unsafe.types.UTF8String;
import scala.Function1;

public class TidemarkExpressions implements WritableByteChannel {
    // A call that needs longer buffers leaves none: all of a vector is zeroed before it is written again.
    private static final int HELD = 1 << 18;

    private final Function1 projection;
    private final Schema schema;
    private final FileChannel source, sink;
    private final BufferAllocator allocator;
    private ByteBuffer given = buffer(HELD), made = buffer(HELD);
    private VectorSchemaRoot root;
    private ArrowWriter writer;
    private VectorUnloader unloader;

    public TidemarkExpressions(Function1 projection, StructType type, FileChannel source, FileChannel sink) {
        this.projection = projection;
        this.schema = ArrowUtils$.MODULE$.toArrowSchema(type, "UTC", false, false);
        this.source = source;
        this.sink = sink;
        this.allocator = ArrowUtils$.MODULE$.rootAllocator().newChildAllocator("tidemark", 0L, Long.MAX_VALUE);
    }

    /** Reads as many messages from the first `length` bytes of the source; returns the bytes in the sink. */
    public int run(int rows, int length) throws Exception {
        boolean done = false;
        try {
            this.read(length);
            this.prepare(rows);
            this.write(rows);
            this.serialize();
            done = this.given.capacity() <= HELD && this.made.capacity() <= HELD;
            return this.made.limit();
        } finally {
            if (!done) this.release();
        }
    }

    private void read(int length) throws Exception {
        if (length > this.given.capacity()) this.given = buffer(length);
        this.given.clear().limit(length);
        while (this.given.hasRemaining()) {
            if (this.source.read(this.given, (long) this.given.position()) < 0) throw new EOFException();
        }
    }

    private void prepare(int rows) {
        if (this.root != null) {
            this.writer.reset();
            return;
        }
        this.root = VectorSchemaRoot.create(this.schema, this.allocator);
        Iterator vectors = this.root.getFieldVectors().iterator();
        while (vectors.hasNext()) ((FieldVector) vectors.next()).setInitialCapacity(Math.max(rows, 32));
        this.writer = ArrowWriter$.MODULE$.create(this.root);
        this.unloader = new VectorUnloader(this.root);
    }

    private void write(int rows) {
        Object[] cells = new Object[5];
        GenericInternalRow row = new GenericInternalRow(cells);
        this.given.position(40 * rows);
        for (int i = 0; i < rows; i++) {
            int size = (int) this.number(4, rows, i);
            cells[0] = UTF8String.fromBytes(this.bytes((int) this.number(3, rows, i)));
            cells[1] = Integer.valueOf((int) this.number(0, rows, i));
            cells[2] = Long.valueOf(this.number(1, rows, i));
            cells[3] = Long.valueOf(this.number(2, rows, i) * 1000L);
            cells[4] = size < 0 ? null : this.bytes(size);
            this.writer.write((InternalRow) this.projection.apply(row));
        }
        this.writer.finish();
    }

    private long number(int column, int rows, int row) {
        return this.given.getLong(8 * (column * rows + row));
    }

    private byte[] bytes(int size) {
        byte[] bytes = new byte[size];
        this.given.get(bytes);
        return bytes;
    }

    private void serialize() throws Exception {
        this.made.clear();
        ArrowRecordBatch batch = this.unloader.getRecordBatch();
        try {
            MessageSerializer.serialize(new WriteChannel(this), batch);
        } finally {
            batch.close();
        }
        this.made.flip();
        while (this.made.hasRemaining()) this.sink.write(this.made, (long) this.made.position());
    }

    public int write(ByteBuffer bytes) {
        int size = bytes.remaining();
        if (size > this.made.remaining()) {
            int needed = Math.addExact(this.made.position(), size);
            ByteBuffer longer = buffer(Math.max(needed, (int) Math.min(2L * this.made.capacity(), 0x7ffffff7L)));
            longer.put((ByteBuffer) this.made.flip());
            this.made = longer;
        }
        this.made.put(bytes);
        return size;
    }

    private static ByteBuffer buffer(int size) {
        return ByteBuffer.allocateDirect(size).order(ByteOrder.LITTLE_ENDIAN);
    }

    private void release() {
        if (this.root != null) this.root.close();
        this.root = null;
        if (this.given.capacity() > HELD) this.given = buffer(HELD);
        if (this.made.capacity() > HELD) this.made = buffer(HELD);
    }

    public boolean isOpen() {
        return this.source.isOpen();
    }

    public void close() throws IOException {
        this.source.close();
        this.sink.close();
        this.release();
        this.allocator.close();
    }
}
"""
"""One call from Python for a batch: each takes 0.2 ms, and so does letting go of what it returns."""


class Expressions:
    """Runs the projections of `frame`, a chain of selections over `raw`, on messages in the JVM.

    `raw` has the columns of RAW. Messages and rows pass through two files that only this process knows:
    Py4J writes bytes as text and waits 40 ms for delayed acknowledgements where they do not fit one segment.
    """

    def __init__(self, spark: SparkSession, raw: DataFrame, frame: DataFrame) -> None:
        jvm: Any = spark._jvm
        plan, chain = frame._jdf.queryExecution().optimizedPlan(), []
        while plan.nodeName() == "Project":
            chain.append((plan.projectList(), plan.child().output()))
            plan = plan.child()
        if plan.children().nonEmpty():
            raise TypeError(f"{plan.nodeName()} among the expressions of an event")
        projection = jvm.org.apache.spark.sql.catalyst.expressions.UnsafeProjection
        run, *others = [projection.create(*step) for step in reversed(chain)]
        for step in others:
            run = run.andThen(step)
        (self._in, source), (self._out, sink) = _channel(jvm), _channel(jvm)
        self._java = compiled(spark, "TidemarkExpressions", JAVA, run, frame._jdf.schema(), source, sink)

    def __call__(self, messages: Sequence[Message], schema: pa.Schema) -> pa.RecordBatch:
        if len(messages) > ROWS:
            raise ServiceError(f"{len(messages)} messages at once: prepare at most {ROWS}")
        if not messages:
            return pa.RecordBatch.from_pylist([], schema=schema)
        data = _packed(messages)
        os.pwrite(self._in, data, 0)
        length = self._java.run(len(messages), len(data))
        return pa.ipc.read_record_batch(pa.py_buffer(os.pread(self._out, length, 0)), schema)

    def close(self) -> None:
        for handle in (self._in, self._out):
            os.close(handle)
        self._java.close()


def _channel(jvm: Any) -> tuple[int, Any]:
    """A file without a name that both processes have open: our descriptor, and the JVM's channel."""
    handle, path = tempfile.mkstemp(prefix="tidemark-")
    try:
        return handle, jvm.java.io.RandomAccessFile(path, "rw").getChannel()
    finally:
        Path(path).unlink()


def _packed(messages: Sequence[Message]) -> bytes:
    """Column by column the numbers and the sizes of topics and values, -1 for no value; then the bytes."""
    topics, parts, offsets, stamps, values = zip(*messages, strict=True)
    texts = [topic.encode() for topic in topics]
    sizes = [-1 if value is None else len(value) for value in values]
    numbers = np.array([parts, offsets, stamps, [len(text) for text in texts], sizes], I64)
    held = [part for pair in zip(texts, values, strict=True) for part in pair if part]
    return b"".join([numbers.tobytes(), *held])
