"""Runs on temporary AWS machines: plan, launch, watch, resume, stop and reap."""
