"""Samples to network inputs: images, pillars, voxels, view transform tables."""
