"""Cameras that look at the world by casting rays: light, surfaces, lens and sensor."""
