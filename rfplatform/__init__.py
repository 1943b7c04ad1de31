"""Radio maps that can be trusted, and the network intelligence on top of them."""

__version__ = "0.1.0"
