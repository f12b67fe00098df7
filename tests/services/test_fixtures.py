"""The fixtures that every other test stands on."""

import redis
from confluent_kafka import Consumer, Producer

from tidemark.services import Endpoints


def test_topic_takes_records_and_stamps_them_by_the_brokers_clock(kafka, topic):
    name = topic(2)
    producer = Producer({"bootstrap.servers": kafka, "compression.type": "snappy"})
    for index in range(10):
        producer.produce(name, key=str(index), value=b"x" * 200, timestamp=1_000)
    assert producer.flush(10) == 0

    consumer = Consumer({"bootstrap.servers": kafka, "group.id": name, "auto.offset.reset": "earliest"})
    consumer.subscribe([name])
    got = consumer.consume(10, timeout=15)
    consumer.close()
    assert sorted(int(m.key()) for m in got) == list(range(10))
    kinds = {m.timestamp()[0] for m in got}
    assert kinds == {2}  # LogAppendTime
    assert all(m.timestamp()[1] > 1_600_000_000_000 for m in got)


def test_redis_keeps_what_it_acknowledged(redis_server):
    host, port = redis_server.split(":")
    client = redis.Redis(host=host, port=int(port))
    assert client.set("fixtures:key", b"value")
    assert client.get("fixtures:key") == b"value"
    client.delete("fixtures:key")


def test_endpoints_are_host_and_port(services: Endpoints, kafka, redis_server):
    assert (services.kafka, services.redis) == (kafka, redis_server)
    assert all(address.rpartition(":")[2].isdigit() for address in (kafka, redis_server))
