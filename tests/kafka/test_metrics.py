"""What a worker shows of its partitions."""

from prometheus_client import REGISTRY

from flows.kafka import metrics


def test_a_partition_that_went_to_another_worker_is_shown_no_more() -> None:
    metrics.LAG_MESSAGES.labels("lines", "0").set(5)
    metrics.LAG_MESSAGES.labels("lines", "1").set(7)
    metrics.forget_partition("lines", 0)
    metrics.forget_partition("lines", 0)
    assert REGISTRY.get_sample_value("coilflow_lag_messages", {"topic": "lines", "partition": "0"}) is None
    assert REGISTRY.get_sample_value("coilflow_lag_messages", {"topic": "lines", "partition": "1"}) == 7
