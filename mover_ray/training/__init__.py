"""Training loops in plain torch, which know nothing of Ray."""
