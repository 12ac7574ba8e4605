"""Layers on disk: zips, functions' code, and the manifest that says what is in them."""
