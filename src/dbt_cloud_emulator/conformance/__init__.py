"""What action and emulator believe about dbt Cloud's Administrative API, and checks of it against any server.

`beliefs` is the list, `checks` holds one check for each, `session` asks the server, `reading` lets the action's own
client read the same answers, `report` writes what was found. Nothing here uses the client that it judges.
"""
