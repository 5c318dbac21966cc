"""What tests and benchmarks share: scripted rigs, small networks, recorded oracles."""
