"""The Kafka host: clients, topics, producing, the worker that judges coils from the log, and a broker of one's own."""
