"""Jobs over some partitions of a frame, and a frame that is planned once for many batches."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import pyarrow as pa
import pytest
from pyspark import TaskContext
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from streaming.action import Action, told
from streaming.planned import Planned


def doubled(rows: DataFrame) -> DataFrame:
    def shown(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        partition = TaskContext.get().partitionId()  # type: ignore[union-attr]
        for ids in (batch.column("double_id") for batch in batches):
            yield pa.RecordBatch.from_pydict(
                {"partition": [partition] * len(ids), "told": [told()] * len(ids), "id": ids}
            )

    even = rows.selectExpr("id * 2 AS double_id", "name").where("name <> 'none'")
    parted = even.repartitionById(2, F.expr("CAST(double_id / 2 % 2 AS INT)"))
    return parted.mapInArrow(shown, "partition bigint, told string, id bigint")


def batch(spark, ids: Iterable[int], parts: int, name: str = "some") -> DataFrame:
    return spark.createDataFrame(
        spark.sparkContext.parallelize([(n, name) for n in ids], parts), "id bigint, name string"
    )


def test_jobs_over_partitions_are_told_what_is_theirs(spark):
    action = Action.of(doubled(batch(spark, range(10), 3)))
    assert action.partitions == 2
    for n, word in enumerate(("first", "second")):
        rows = action.collect([n], word)
        assert {(row.partition, row.told) for row in rows} == {(n, word)}
        assert sorted(row.id for row in rows) == [2 * i for i in range(10) if i % 2 == n]
    assert told() == "", "nothing outside of a task"


def test_a_plan_is_made_once_and_computes_every_batch(spark):
    made = []

    def make(rows: DataFrame) -> DataFrame:
        made.append(rows)
        return doubled(rows)

    planned = Planned(make)
    for ids, parts, name in [(range(5), 1, "a"), (range(7, 20), 4, "b"), ((), 2, "c"), (range(3), 3, "none")]:
        action = planned.over(batch(spark, ids, parts, name))
        rows = action.collect(range(action.partitions))
        assert sorted(row.id for row in rows) == [2 * n for n in ids if name != "none"]
    assert len(made) == 1


def test_code_that_is_kept_begins_anew_in_every_task(spark):
    # Parsing JSON keeps the projection out of Spark's compiled stages; the number counts within a partition.
    counted = "monotonically_increasing_id() - (CAST(spark_partition_id() AS BIGINT) << 33) AS place"
    parsed = "from_json(concat('{\"n\":', id, '}'), 'n bigint').n AS n"
    planned = Planned(lambda rows: rows.selectExpr(counted, parsed, "name"))
    for name, size in [("a", 4), ("b", 7), ("c", 1)]:
        rows = planned.over(batch(spark, range(5 * size), 5, name)).collect(range(5))
        assert [(row.n, row.name) for row in rows] == [(n, name) for n in range(5 * size)]
        assert [row.place for row in rows] == [*range(size)] * 5


def test_a_task_that_fails_leaves_nothing_to_the_next(spark):
    checked = "from_json(concat('[', id, ']'), 'array<bigint>')[0] AS n"
    planned = Planned(lambda rows: rows.selectExpr(checked, "assert_true(id <> 3) AS fine"))
    for ids, fails in [(range(3), False), (range(8), True), (range(4, 9), False)]:
        action = planned.over(batch(spark, ids, 1))
        if fails:
            with pytest.raises(Exception, match="is not true"):
                action.collect([0])
        else:
            assert [row.n for row in action.collect([0])] == [*ids]


def test_a_step_across_partitions_is_refused(spark):
    planned = Planned(lambda rows: rows.coalesce(1))
    with pytest.raises(TypeError, match="CoalescedRDD is no step over a partition by itself"):
        planned.over(batch(spark, range(3), 2))


def test_a_plan_of_two_inputs_is_refused(spark):
    planned = Planned(lambda rows: rows.union(rows))
    with pytest.raises(TypeError, match="Union has 2 inputs"):
        planned.over(batch(spark, range(3), 1))
