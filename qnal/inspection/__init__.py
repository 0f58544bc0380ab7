"""The inspection page: selected spectra in one HTML file, in which people label them."""
