"""An emulator of Azure ML's wire protocol on this machine: Microsoft's own SDK runs against it unchanged.

One router a service turns wire into calls; what Azure keeps is the emulator's own state (documents in SQLite, blobs on disk);
AutoML and pipelines are carried out by a `Backend`.
"""
