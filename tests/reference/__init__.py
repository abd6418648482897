"""Plain Python versions of the C kernels: slow, obvious, and the judges of the fast ones."""
