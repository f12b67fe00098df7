package tidemark;

import java.util.ArrayDeque;
import java.util.LinkedHashMap;
import java.util.UUID;
import org.apache.spark.PartitionEvaluator;
import org.apache.spark.PartitionEvaluatorFactory;
import org.apache.spark.sql.catalyst.InternalRow;
import org.apache.spark.sql.catalyst.expressions.UnsafeProjection;
import org.apache.spark.util.Utils;
import scala.collection.AbstractIterator;
import scala.collection.Iterator;
import scala.collection.immutable.Seq;

/**
 * Spark's projection of rows by expressions, whose code is generated once for many jobs: Spark generates it again in
 * each task, which takes longer than a few hundred rows. A task has a projection to itself, and leaves it to the next
 * one of its process when its rows have come to an end.
 */
public final class Projecting implements PartitionEvaluatorFactory {
    private static final long serialVersionUID = 1L;
    /** How many are remembered, of those that were used last. */
    private static final int REMEMBERED = 16;
    private static final LinkedHashMap IDLE = new LinkedHashMap(REMEMBERED, 0.75f, true);

    private final String id = UUID.randomUUID().toString();
    /** The expressions and the attributes they refer to; what is deserialized once a task should be small. */
    private final byte[] expressions;

    public Projecting(Seq expressions, Seq input) {
        this.expressions = Utils.serialize(new Object[] {expressions, input});
    }

    public PartitionEvaluator createEvaluator() {
        return new Evaluator(this);
    }

    private UnsafeProjection taken() {
        synchronized (IDLE) {
            ArrayDeque held = (ArrayDeque) IDLE.get(this.id);
            if (held != null && !held.isEmpty()) return (UnsafeProjection) held.pop();
        }
        Object[] both = (Object[]) Utils.deserialize(this.expressions, Utils.getContextOrSparkClassLoader());
        return UnsafeProjection.create((Seq) both[0], (Seq) both[1]);
    }

    private void left(UnsafeProjection projection) {
        synchronized (IDLE) {
            ArrayDeque held = (ArrayDeque) IDLE.get(this.id);
            if (held == null) {
                held = new ArrayDeque();
                IDLE.put(this.id, held);
                if (IDLE.size() > REMEMBERED) IDLE.remove(IDLE.keySet().iterator().next());
            }
            held.push(projection);
        }
    }

    private static final class Evaluator implements PartitionEvaluator {
        private final Projecting factory;

        private Evaluator(Projecting factory) {
            this.factory = factory;
        }

        public Iterator eval(int partition, Seq inputs) {
            UnsafeProjection projection = this.factory.taken();
            projection.initialize(partition);
            return new Rows(this.factory, projection, (Iterator) inputs.apply(0));
        }
    }

    private static final class Rows extends AbstractIterator {
        private final Projecting factory;
        private final Iterator input;
        private UnsafeProjection projection;

        private Rows(Projecting factory, UnsafeProjection projection, Iterator input) {
            this.factory = factory;
            this.projection = projection;
            this.input = input;
        }

        public boolean hasNext() {
            boolean more = this.input.hasNext();
            if (!more && this.projection != null) {
                this.factory.left(this.projection);
                this.projection = null;
            }
            return more;
        }

        public Object next() {
            return this.projection.apply((InternalRow) this.input.next());
        }
    }
}
