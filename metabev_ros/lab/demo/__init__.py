"""The demonstration: the real node on a real graph while sensors die and come back."""
