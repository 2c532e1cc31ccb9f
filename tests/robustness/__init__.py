"""Damaged files for the readers, and kills for the commands: how little is lost."""
