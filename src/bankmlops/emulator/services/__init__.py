"""Web services: deployments, and the processes that serve them."""
