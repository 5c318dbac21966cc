"""Everything that runs off the vehicle: data, training, evaluation, export, demonstration."""
