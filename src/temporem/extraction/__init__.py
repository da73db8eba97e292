"""Particle movies from movies of the whole field of view: find, follow and cut out particles."""
