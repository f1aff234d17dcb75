"""The materializations of this step as events, for the places where teams watch their assets."""
