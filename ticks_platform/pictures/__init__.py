"""Pictures as SVG, without a plotting library: `candlesticks`, `lines`, `timeline`. Not here: their data (`defs`)."""
