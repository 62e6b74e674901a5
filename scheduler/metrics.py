"""What a scheduler shows to Prometheus."""

from prometheus_client import Counter, Gauge

LEADS = Gauge("coilflow_scheduler_leads", "1 where this scheduler leads, else 0")
RUNS = Counter("coilflow_scheduler_runs", "Runs of jobs by how they ended", ("job", "outcome"))
RUN_SECONDS = Gauge("coilflow_scheduler_last_run_seconds", "How long the last run of a job took, s", ("job",))
OPEN_ALARMS = Gauge("coilflow_scheduler_open_alarms", "What is wrong now, as the leader knows it")
