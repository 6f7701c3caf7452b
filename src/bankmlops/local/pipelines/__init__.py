"""Pipelines on this machine: the engine, its steps and workers, what is published, triggers and schedules."""
