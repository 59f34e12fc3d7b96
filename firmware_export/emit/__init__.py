"""Plans, weights and front ends -> tables in C."""
