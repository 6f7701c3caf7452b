"""Blobs, datastores, and the datasets that lie in them."""
