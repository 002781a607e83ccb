// Shades the candles that a gap touches, below them, with the reason where there is room.

import { cause } from "./format.js";

class Renderer {
  constructor(bands, style) {
    this.bands = bands;
    this.style = style;
  }

  draw() {}

  drawBackground(target) {
    target.useBitmapCoordinateSpace(({ context, bitmapSize, horizontalPixelRatio: wide, verticalPixelRatio: high }) => {
      for (const band of this.bands) {
        const left = Math.round(band.left * wide), right = Math.max(Math.round(band.right * wide), left + 2);
        const colour = this.style(`--${band.state}`);
        context.globalAlpha = band.state === "open" ? 0.2 : 0.13;
        context.fillStyle = colour;
        context.fillRect(left, 0, right - left, bitmapSize.height);
        context.globalAlpha = 0.8;
        context.fillRect(left, 0, right - left, Math.max(1, Math.round(2 * high)));
        context.font = `${Math.round(11 * high)}px system-ui, sans-serif`;
        const text = band.state === "open" ? band.reason : `${band.reason}, ${band.state}`;
        if (context.measureText(text).width + 12 * wide < right - left) {
          context.globalAlpha = 1;
          context.fillText(text, left + 6 * wide, 17 * high);
        }
        context.globalAlpha = 1;
      }
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
    this.view = { zOrder: () => "bottom", renderer: () => new Renderer(this.bands, this.style) };
  }

  attached({ chart, requestUpdate }) {
    this.chart = chart;
    this.requestUpdate = requestUpdate;
  }

  detached() {
    this.chart = null;
  }

  paneViews() {
    return [this.view];
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
