"""Scripts that run on computes: their snapshots, environments, processes and logs."""
