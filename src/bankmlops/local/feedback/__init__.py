"""Outcomes that come back: taken, joined to the requests, kept."""
