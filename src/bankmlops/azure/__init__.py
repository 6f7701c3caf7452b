"""Backend on Azure ML, through Microsoft's own SDK (v1); file names mirror those of `local`."""
