"""The documentation: sources, and in `tools` what makes pages of the project's own files."""
