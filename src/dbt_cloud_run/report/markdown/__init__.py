"""Other people's text made fit for markdown, and the layout that cuts it to size."""
