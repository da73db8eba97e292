"""temporem: 3D structures that move, from liquid-phase electron microscopy movies."""

__version__ = "0.1.0"
