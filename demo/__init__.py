"""A job that can be watched: the emulator plays dbt Cloud, and the stand-ins play GitHub's runner."""
