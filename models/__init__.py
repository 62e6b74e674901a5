"""Networks, training, evaluation, bundles and the ensemble; serving imports no torch."""
