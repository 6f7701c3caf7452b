"""Pipelines as graphs, their runs and steps, what is published, and schedules."""
