"""Proxy networks: what a family of them is, and the ConvNet.

`config` says what a ConvNet looks like; `convnet` computes E of them together; `convolution`, `layers` and
the `fused` modules are its parts, `counter_rng` draws numbers where the networks are.

May import: files.
"""
