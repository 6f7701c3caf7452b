"""Endpoints of this machine: a model in a process or a container, its files, its updates."""
