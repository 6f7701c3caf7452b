"""The control server: what stands before it, its wire, its tokens, its audit log and its page."""
