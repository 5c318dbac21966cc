"""A first look at a new rig: its sensors read from a bag, judged, drawn, put into a file."""
