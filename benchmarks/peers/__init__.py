"""Programs of others on our datasets, scored by our evaluation."""
