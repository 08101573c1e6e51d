"""Shares cameras between workers: leases, a fence that keeps records of lost cameras out, and fair shares."""
