"""What the user asked for: `INPUT_*` and `GITHUB_*` as one typed value, checked before any request."""
