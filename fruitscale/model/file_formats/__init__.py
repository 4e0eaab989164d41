"""The formats of networks: each module opens one, and refuses what would execute code."""
