package tidemark;

import org.apache.spark.PartitionEvaluator;
import org.apache.spark.PartitionEvaluatorFactory;
import org.apache.spark.sql.execution.python.EvaluatePython;
import org.apache.spark.sql.types.StructType;
import scala.collection.Iterator;
import scala.collection.immutable.Seq;
import scala.runtime.AbstractFunction1;

/** Spark's rows as Python is given them: what a DataFrame's `rdd` does, without another plan. */
public final class Plain extends AbstractFunction1 implements PartitionEvaluatorFactory, PartitionEvaluator {
    private static final long serialVersionUID = 1L;
    private final StructType schema;

    public Plain(StructType schema) {
        this.schema = schema;
    }

    public PartitionEvaluator createEvaluator() {
        return this;
    }

    public Iterator eval(int partition, Seq inputs) {
        return ((Iterator) inputs.apply(0)).map(this);
    }

    public Object apply(Object row) {
        return EvaluatePython.toJava(row, this.schema, true);
    }
}
