"""What crosses a wire or lands on a disk: coils, matrices, events, settings, SQL and the published contracts."""
