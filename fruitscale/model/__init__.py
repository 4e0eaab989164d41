"""Networks and their weights, exported once for the workers. TensorFlow is imported here only, in a child process."""
