"""Stores for photos and run folders, on disk or on S3: bytes by name, listings, locks, credentials."""
