package tidemark;

import java.util.ArrayDeque;
import java.util.LinkedHashMap;
import java.util.UUID;
import org.apache.spark.PartitionEvaluator;
import org.apache.spark.PartitionEvaluatorFactory;
import org.apache.spark.api.java.JavaSparkContext;
import org.apache.spark.broadcast.Broadcast;
import org.apache.spark.sql.catalyst.expressions.UnsafeProjection;
import org.apache.spark.util.Utils;
import scala.collection.AbstractIterator;
import scala.collection.Iterator;
import scala.collection.immutable.Seq;

/**
 * What a step of a plan does to a partition, kept ready for many jobs: tasks are sent its number, and a process makes
 * it once for as many tasks as it runs at a time. Spark would send it with each job, and a projection would generate
 * its code in each task, which takes longer than a few hundred rows. A task has an evaluator to itself, and leaves it
 * to the next one when its rows have come to an end.
 */
public final class Held implements PartitionEvaluatorFactory {
    private static final long serialVersionUID = 1L;
    /** How many steps are remembered, of those that were used last. */
    private static final int REMEMBERED = 64;
    private static final LinkedHashMap IDLE = new LinkedHashMap(REMEMBERED, 0.75f, true);

    private final String id = UUID.randomUUID().toString();
    private final Broadcast made;

    /** Of a factory; or of the expressions of a projection and the attributes they refer to. */
    public Held(JavaSparkContext context, Object step) {
        this.made = context.broadcast(Utils.serialize(step));
    }

    public PartitionEvaluator createEvaluator() {
        return new Evaluator(this);
    }

    private PartitionEvaluator taken() {
        synchronized (IDLE) {
            ArrayDeque held = (ArrayDeque) IDLE.get(this.id);
            if (held != null && !held.isEmpty()) return (PartitionEvaluator) held.pop();
        }
        Object step = Utils.deserialize((byte[]) this.made.value(), Utils.getContextOrSparkClassLoader());
        if (step instanceof PartitionEvaluatorFactory) return ((PartitionEvaluatorFactory) step).createEvaluator();
        Object[] both = (Object[]) step;
        return new Projector(UnsafeProjection.create((Seq) both[0], (Seq) both[1]));
    }

    private void left(PartitionEvaluator evaluator) {
        synchronized (IDLE) {
            ArrayDeque held = (ArrayDeque) IDLE.get(this.id);
            if (held == null) {
                held = new ArrayDeque();
                IDLE.put(this.id, held);
                if (IDLE.size() > REMEMBERED) IDLE.remove(IDLE.keySet().iterator().next());
            }
            held.push(evaluator);
        }
    }

    private static final class Evaluator implements PartitionEvaluator {
        private final Held step;

        private Evaluator(Held step) {
            this.step = step;
        }

        public Iterator eval(int partition, Seq inputs) {
            PartitionEvaluator evaluator = this.step.taken();
            return new Rows(this.step, evaluator, evaluator.eval(partition, inputs));
        }
    }

    private static final class Rows extends AbstractIterator {
        private final Held step;
        private final Iterator rows;
        private PartitionEvaluator evaluator;

        private Rows(Held step, PartitionEvaluator evaluator, Iterator rows) {
            this.step = step;
            this.evaluator = evaluator;
            this.rows = rows;
        }

        public boolean hasNext() {
            boolean more = this.rows.hasNext();
            if (!more && this.evaluator != null) {
                this.step.left(this.evaluator);
                this.evaluator = null;
            }
            return more;
        }

        public Object next() {
            return this.rows.next();
        }
    }

    private static final class Projector implements PartitionEvaluator {
        private final UnsafeProjection projection;

        private Projector(UnsafeProjection projection) {
            this.projection = projection;
        }

        public Iterator eval(int partition, Seq inputs) {
            this.projection.initialize(partition);
            return ((Iterator) inputs.apply(0)).map(this.projection);
        }
    }
}
