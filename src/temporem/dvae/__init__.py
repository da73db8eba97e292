"""TEMPOR and the static model: inference, priors, objective, training."""
