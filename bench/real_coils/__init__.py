"""What tells the experts' NOK coils from their OK ones: thirty real coils, fixed folds, and what never saw them.

`docs/results/real_coils/protocol.yaml` was written before any result of it and says what is tried and how it is judged.
"""
