"""The GDPR audit of a config: buckets, roles, settings and clusters."""
