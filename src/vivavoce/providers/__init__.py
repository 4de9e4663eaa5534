"""What we ask of models: `base` has the questions, `registry` finds the answers, a folder holds each vendor."""
