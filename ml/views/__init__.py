"""Everything that is only shown: page data, model cards, reports, plots and words."""
