"""`dbt-cloud-run`: the same program outside of GitHub Actions."""
