"""The yardstick: fetch URLs to disk one after another with httpx, then (`zip`) pack them with `zipfile`.

python download.py (plain|zip) FOLDER URL...
"""

import os
import sys
import time
import zipfile
from pathlib import Path

import httpx

mode, folder, *urls = sys.argv[1:]
files = []
began = time.monotonic()
with httpx.Client(headers={"Authorization": f"Token {os.environ['TOKEN']}"}, timeout=60) as client:
    for url in urls:
        path = Path(folder) / url.partition("?")[0].rpartition("/")[2]
        with client.stream("GET", url) as response, path.open("wb") as file:
            response.raise_for_status()
            for piece in response.iter_bytes():
                file.write(piece)
        files.append(path)
if mode == "zip":
    with zipfile.ZipFile(Path(folder) / "artifact.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for path in files:
            archive.write(path, path.name)
print(f"seconds {time.monotonic() - began:.6f}")
