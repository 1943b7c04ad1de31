"""The parts of the Measurements page."""
