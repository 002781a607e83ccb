"""Pictures as SVG, without a plotting library: `candlesticks`, `timeline`. Not here: their data (`defs`)."""
