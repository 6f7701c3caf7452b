"""The model to beat, by its NAME:VERSION, and which other one may take its place in work that goes on."""

from __future__ import annotations

OWN_CHAMPION = "a model of its warm-up"  # what "" stands for


def may_follow(champion: str, present: str) -> bool:
    """Whether work against `present` goes on against `champion`: a newer version of it, or any model after one of its own."""
    name, _, version = champion.rpartition(":")
    present_name, _, present_version = present.rpartition(":")
    return not present or (name == present_name and int(version) > int(present_version))
