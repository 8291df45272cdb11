"""Steps of a pipeline: one row in, one row out; they know nothing of Ray."""
