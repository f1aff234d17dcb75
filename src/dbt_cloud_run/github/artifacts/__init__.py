"""One upload of a workflow artifact: zip, service, storage."""
