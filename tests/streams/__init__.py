"""The Kafka worker under faults: killed, frozen, cut off, fed with poison; judged by an oracle in its own process."""
