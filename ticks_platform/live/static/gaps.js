// Shades the candles that a gap touches, below them, with the reason where there is room.

import { cause } from "./format.js";

/** Draws each band with a function of the canvas and the band's edges in its pixels. */
class Renderer {
  constructor(bands, paint) {
    this.bands = bands;
    this.paint = paint;
  }

  draw(target) {
    target.useBitmapCoordinateSpace(({ context, bitmapSize, horizontalPixelRatio: wide, verticalPixelRatio: high }) => {
      context.save();
      for (const band of this.bands) {
        const left = Math.max(0, Math.round(band.left * wide));
        const right = Math.min(bitmapSize.width, Math.max(Math.round(band.right * wide), left + 2));
        this.paint(context, band, { left, right, wide, high, bottom: bitmapSize.height });
      }
      context.restore();
    });
  }
}

/** A primitive of the candlestick series. */
export class GapBands {
  constructor(style) {
    this.style = style;
    this.gaps = [];
    this.step = 60;
    this.bands = [];
    // The reasons are written above the grid, which is above the shades.
    this.views = [
      { zOrder: () => "bottom", renderer: () => new Renderer(this.bands, this.shade.bind(this)) },
      { zOrder: () => "top", renderer: () => new Renderer(this.bands, this.label.bind(this)) },
    ];
  }

  attached({ chart, requestUpdate }) {
    this.chart = chart;
    this.requestUpdate = requestUpdate;
  }

  detached() {
    this.chart = null;
  }

  paneViews() {
    return this.views;
  }

  shade(context, { state }, { left, right, bottom }) {
    context.globalAlpha = state === "open" ? 0.2 : 0.13;
    context.fillStyle = this.style(`--${state}`);
    context.fillRect(left, 0, right - left, bottom);
  }

  label(context, { state, reason }, { left, right, wide, high }) {
    context.fillStyle = this.style(`--${state}`);
    context.globalAlpha = 1;
    context.fillRect(left, 0, right - left, Math.max(1, Math.round(2 * high)));
    context.font = `${Math.round(11 * high)}px system-ui, -apple-system, "Segoe UI", Roboto, sans-serif`;
    const text = state === "open" ? reason : `${reason}, ${state}`;
    const width = context.measureText(text).width + 12 * wide;
    if (width > right - left) return;
    context.fillStyle = this.style("--panel");
    context.globalAlpha = 0.75;
    context.fillRect(left + 2 * wide, 5 * high, width - 2 * wide, 17 * high);
    context.fillStyle = this.style("--ink");
    context.globalAlpha = 0.85;
    context.fillText(text, left + 6 * wide, 17 * high);
  }

  /** `gaps` with the times of the first and the last candle that each touches. */
  show(gaps, step) {
    this.gaps = gaps;
    this.step = step;
    this.requestUpdate?.();
  }

  updateAllViews() {
    if (!this.chart) return;
    const scale = this.chart.timeScale();
    const half = scale.options().barSpacing / 2;
    this.bands = [];
    for (const gap of this.gaps) {
      const left = scale.timeToCoordinate(gap.first), right = scale.timeToCoordinate(gap.last);
      if (left == null || right == null || right < -half || left > scale.width() + half) continue;
      this.bands.push({ left: left - half, right: right + half, state: gap.state, reason: cause(gap.cause) });
    }
  }
}
