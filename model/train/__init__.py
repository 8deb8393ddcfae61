"""How the house model is made: `python -m model.train COMMAND`, see README.md."""
