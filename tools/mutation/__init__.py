"""The parts of tools/mutate: see there."""
