"""Stand-ins for what is around a step: GitHub's runner, its results service, and a scripted dbt Cloud.

Demo, benchmarks and tests share them. They belong to the repository alone: neither the image nor the wheel has them.
dbt Cloud with real dbt underneath is `dbt_cloud_emulator`.
"""
