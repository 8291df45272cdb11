"""What the commands do beside runs: the demo, the doctor."""
