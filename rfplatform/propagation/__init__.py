"""A scene to a radio map."""
