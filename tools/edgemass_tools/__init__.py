"""The model workshop: what is done to a model before a device runs it. It imports edgemass, never the other way."""

__version__ = "0.1.0.dev0"
