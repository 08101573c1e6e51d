// Draws the icons of the player, in the color of the text around them.

import { html, svg } from './vendor/lit-html/lit-html.js';

const glyph = (shapes) => html`<svg class="icon" viewBox="0 0 20 20" aria-hidden="true">${shapes}</svg>`;

export const glyphs = {
  play: glyph(svg`<path class="solid" d="M6 4.500v11l9-5.500z"/>`),
  pause: glyph(svg`<path class="solid" d="M6 4.500h2.800v11H6zM11.200 4.500H14v11h-2.800z"/>`),
  back: glyph(svg`<path d="M10 5 5 10l5 5M15 5l-5 5 5 5"/>`),
  forward: glyph(svg`<path d="m10 5 5 5-5 5M5 5l5 5-5 5"/>`),
  frameBack: glyph(svg`<path d="m12.500 5-5 5 5 5M5 5v10"/>`),
  frameOn: glyph(svg`<path d="m7.500 5 5 5-5 5M15 5v10"/>`),
  up: glyph(svg`<path d="m5.500 12 4.500-4.500L14.500 12"/>`),
  down: glyph(svg`<path d="M5.500 8 10 12.500 14.500 8"/>`),
  box: glyph(svg`<path d="M3.500 7V3.500H7M13 3.500h3.500V7M16.500 13v3.500H13M7 16.500H3.500V13M10 7v6M7 10h6"/>`),
  download: glyph(svg`<path d="M10 3.500V12m-3-3 3 3 3-3M4 13v3.500h12V13"/>`),
  keep: glyph(svg`<path d="m4.500 10.500 3.500 3.500 7.500-8"/>`),
  dismiss: glyph(svg`<path d="m5.500 5.500 9 9m0-9-9 9"/>`),
};
