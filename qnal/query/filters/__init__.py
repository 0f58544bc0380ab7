"""Filters: the steps that reduce the scored spectra to the targets to select from, one module each.

A query applies a list of them in order; each one is a line of the query's funnel.
"""
