"""The encoder of moving pictures: structure of groups, motion search, what is left out, and bytes."""
