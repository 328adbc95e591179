"""What is fitted: coordinate networks, their specs and their rendering. No files, no optimizer."""
