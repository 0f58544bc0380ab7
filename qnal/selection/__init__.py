"""Which spectra people should look at next, and the map of what spectra there are.

``query.select`` ranks the scores of an ensemble; ``som.SelfOrganizingMap`` keeps the rare and
broken out of the answer; ``figures`` shows both.
"""
