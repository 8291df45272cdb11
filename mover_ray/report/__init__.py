"""What people look at: the HTML report, overlays and exported evidence."""
