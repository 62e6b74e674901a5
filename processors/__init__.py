"""Pure steps from readings to verdicts: values in, results and rejects out, no I/O."""
