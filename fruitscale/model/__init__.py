"""Networks and their weights, exported once for the workers. TensorFlow is only imported here, in a child process."""
