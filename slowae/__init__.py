"""Slow feature pooling auto-encoders, from scratch (Goroshin, Bruna, Tompson, Eigen, LeCun; arXiv 1412.6056).

The way of the data: video -> scenes -> whitened windows -> encode -> pool -> losses -> gradients -> step;
then codes -> neighbours -> curves -> pictures.
"""

__version__ = "0.3.0"
