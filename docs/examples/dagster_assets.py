"""Report the materializations in an assets.json to Dagster: DAGSTER_URL=https://… python dagster_assets.py FILE

DAGSTER_URL is the address of the webserver, in Dagster+ with the deployment, and DAGSTER_CLOUD_API_TOKEN a user token.
"""

import json
import os
import pathlib
import re
import sys
import urllib.request

url = os.environ["DAGSTER_URL"].rstrip("/") + "/report_asset_materialization/"
headers = {"Content-Type": "application/json"}
if token := os.environ.get("DAGSTER_CLOUD_API_TOKEN"):
    headers["Dagster-Cloud-Api-Token"] = token

for asset in json.loads(pathlib.Path(sys.argv[1]).read_text(encoding="utf-8"))["assets"]:
    # "database"."schema"."table", with the warehouse's own quotes or with none
    found = re.findall(r'["`\[]([^"`\]]+)["`\]]|([^."`\[\]]+)', asset["relation_name"])
    parts = [quoted or plain for quoted, plain in found]
    metadata = {name: value for name, value in asset.items() if value not in (None, "", [], {})}
    body = {"asset_key": parts[-2:], "description": asset["description"], "metadata": metadata}
    request = urllib.request.Request(url, json.dumps(body).encode(), headers)
    with urllib.request.urlopen(request, timeout=30):
        print("reported", "/".join(parts[-2:]))
