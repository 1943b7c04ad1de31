"""Data sets, scenes, maps, models and reports: named, versioned, hashed, with their parents."""
