"""How a model runs its law: steps of training, replicas, compiled functions, files."""
