"""A simulated galvanizing line: physics in, coils and events with ground truth out."""
