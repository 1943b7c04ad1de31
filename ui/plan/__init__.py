"""The parts of the Plan page, a panel a file."""
