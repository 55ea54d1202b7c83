"""A linear system solved through the grafted OpenBLAS."""

from __future__ import annotations

import numpy as np
from mapped import assert_grafted

matrix = np.array([[3.0, 1.0], [1.0, 2.0]])
assert np.allclose(np.linalg.solve(matrix, np.array([9.0, 8.0])), [2.0, 3.0])
large = np.random.default_rng(1).random((300, 300)) + 300 * np.eye(300)
assert np.allclose(large @ np.linalg.inv(large), np.eye(300))
assert_grafted("numpy.libs", "libopenblas", "libgfortran")
print("worked")
