"""How inits are made: tasks, MAML, GradNCP, Meta-SparseINR, and the training loop over them."""
