"""The jobs: what runs where, what is committed, and the proof at the end."""
