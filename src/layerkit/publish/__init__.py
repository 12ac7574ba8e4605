"""Layers on AWS: published once per content, listed, pruned, compared, and named for other tools."""
