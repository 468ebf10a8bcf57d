"""Names of what trials keep of each sample beside scores, for people."""

PREDICTED = ("predicted", "predicted_probability", "label_probability")
