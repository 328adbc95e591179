"""How inits of modules are made: tasks, MAML, GradNCP, Meta-SparseINR, and the training loop over them."""
