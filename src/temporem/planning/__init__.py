"""Planning of experiments: what a linear model will find, before there are images."""
