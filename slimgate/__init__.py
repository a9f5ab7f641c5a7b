"""slimgate: a budget gate for compressed language models."""

__version__ = "0.1.0"
__all__ = ["__version__"]
