"""Layers that slimgate puts into a model."""
