"""An area on Earth to a scene."""
