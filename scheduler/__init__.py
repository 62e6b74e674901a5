"""When: the policy that decides on retraining, the jobs, who leads, and the service."""
