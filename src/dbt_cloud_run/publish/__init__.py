"""Publishing what is known: outputs, annotations, files, the artifact, the summary, the comment."""
