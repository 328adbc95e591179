"""What the training of every family shares: configs, media in memory, checkpoints, the loop around its steps."""
