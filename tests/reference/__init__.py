"""Independent twins of the optimizers in NumPy: slow, obvious, written from the published rules."""
