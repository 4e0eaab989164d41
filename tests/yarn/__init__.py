"""The launcher's EMR step on a real YARN."""
