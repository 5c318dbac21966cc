"""A world of meshes that cameras and LiDARs see by the same rays (embree)."""
