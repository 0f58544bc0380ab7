"""Query strategies: the measures that rank spectra, one module each.

``conf/query/NAME.yaml`` names the class of a strategy. A strategy from outside the package is a
subclass of :class:`~qnal.query.strategies.strategy.Strategy`, named by ``query.strategy._target_``.
"""
