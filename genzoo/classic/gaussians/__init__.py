"""Normals in many dimensions: densities, missing values, sums and types of covariances."""
