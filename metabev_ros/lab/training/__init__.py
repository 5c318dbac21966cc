"""Training: records, targets, losses, the switched-modality trainer."""
