"""A job run before your eyes: the emulator plays dbt Cloud, and this package plays GitHub's runner."""
