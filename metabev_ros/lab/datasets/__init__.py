"""Sources of samples with truth."""
