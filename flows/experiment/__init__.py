"""Experiments: many models, the same folds, compared by statistics."""
