"""Runs with their metrics and artifacts, and the models that are registered from them."""
