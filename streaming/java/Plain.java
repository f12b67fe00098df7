package tidemark;

import org.apache.spark.PartitionEvaluator;
import org.apache.spark.PartitionEvaluatorFactory;
import org.apache.spark.sql.execution.python.EvaluatePython;
import org.apache.spark.sql.types.StructType;
import scala.collection.AbstractIterator;
import scala.collection.Iterator;
import scala.collection.immutable.Seq;

/** Spark's rows as Python is given them: what a DataFrame's `rdd` does, without another plan. */
public final class Plain implements PartitionEvaluatorFactory, PartitionEvaluator {
    private static final long serialVersionUID = 1L;
    private final StructType schema;

    public Plain(StructType schema) {
        this.schema = schema;
    }

    public PartitionEvaluator createEvaluator() {
        return this;
    }

    public Iterator eval(int partition, Seq inputs) {
        return new Rows(this.schema, (Iterator) inputs.apply(0));
    }

    private static final class Rows extends AbstractIterator {
        private final StructType schema;
        private final Iterator input;

        private Rows(StructType schema, Iterator input) {
            this.schema = schema;
            this.input = input;
        }

        public boolean hasNext() {
            return this.input.hasNext();
        }

        public Object next() {
            return EvaluatePython.toJava(this.input.next(), this.schema, true);
        }
    }
}
