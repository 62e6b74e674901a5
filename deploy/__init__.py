"""What watches coilflow: alerts for Prometheus, a dashboard for Grafana."""
