// Draws the page's icons, in the color of the text around them.

import { html, svg } from './vendor/lit-html/lit-html.js';

const icon = (shapes) => html`<svg class="icon" viewBox="0 0 20 20" aria-hidden="true">${shapes}</svg>`;

export const icons = {
  search: icon(svg`<circle cx="9" cy="9" r="5.25"/><path d="m13 13 4 4"/>`),
  picture: icon(svg`<rect x="2.75" y="4" width="14.5" height="12" rx="2"/><circle cx="7" cy="8" r="1.25"/><path d="m3 14 4-3.500 3 2.500 3.500-4L17 13"/>`),
  close: icon(svg`<path d="m5.500 5.500 9 9m0-9-9 9"/>`),
  undo: icon(svg`<path d="M4 8h8a4 4 0 0 1 0 8H8M7 5 4 8l3 3"/>`),
  clock: icon(svg`<circle cx="10" cy="10" r="7"/><path d="M10 6v4l2.500 2"/>`),
  repeat: icon(svg`<path d="M4 9.500a6 6 0 0 1 10.500-3.500l1.500 1.500m0-3.500v3.500h-3.500M16 10.500a6 6 0 0 1-10.500 3.500L4 12.500m0 3.500v-3.500h3.500"/>`),
  camera: icon(svg`<rect x="2.500" y="5.500" width="10.500" height="9" rx="2"/><path d="m13 9 4.500-2.500v7L13 11z"/>`),
  minus: icon(svg`<circle cx="10" cy="10" r="7"/><path d="m5.500 14.500 9-9"/>`),
  check: icon(svg`<path d="m4.500 10.500 3.500 3.500 7.500-8"/>`),
  star: icon(svg`<path d="m10 3.500 2 4.200 4.600.6-3.400 3.200.9 4.500L10 13.800 5.900 16l.9-4.500L3.400 8.300 8 7.700z"/>`),
  out: icon(svg`<path d="M10 12V3.500m-3 3 3-3 3 3M4 11v5.500h12V11"/>`),
  stack: icon(svg`<rect x="6" y="6" width="11" height="9" rx="1.500"/><path d="M14 3.500H4.500A1.500 1.500 0 0 0 3 5v7"/>`),
  keys: icon(svg`<rect x="2" y="5" width="16" height="10.500" rx="2"/><path d="M5 8.500h.01M8.300 8.500h.01M11.700 8.500h.01M15 8.500h.01M6.500 12h7"/>`),
  live: icon(svg`<circle cx="10" cy="10" r="2"/><path d="M6 6a5.600 5.600 0 0 0 0 8m8-8a5.600 5.600 0 0 1 0 8M3.500 3.500a9.200 9.200 0 0 0 0 13m13-13a9.200 9.200 0 0 1 0 13"/>`),
  bell: icon(svg`<path d="M4.500 14h11c-1-1.200-1.500-2.500-1.500-5a4 4 0 0 0-8 0c0 2.500-.5 3.800-1.500 5zm4 2.500h3"/>`),
  link: icon(svg`<path d="M8.500 11.500a3 3 0 0 0 4.300 0l2.700-2.700a3 3 0 0 0-4.300-4.300l-.9.9m1.200 3.100a3 3 0 0 0-4.300 0l-2.700 2.700a3 3 0 0 0 4.300 4.300l.9-.9"/>`),
  plus: icon(svg`<path d="M10 4v12M4 10h12"/>`),
  exit: icon(svg`<path d="M8 4H4.500v12H8m4-9 3 3-3 3m3-3H8"/>`),
  warn: icon(svg`<path d="M10 3.500 18 16.500H2zM10 8.500v3.500m0 2.200v.1"/>`),
  down: icon(svg`<path d="m6 8 4 4 4-4"/>`),
  play: icon(svg`<path class="solid" d="M6 4.500v11l9-5.500z"/>`),
  pause: icon(svg`<path class="solid" d="M6 4.500h2.800v11H6zM11.200 4.500H14v11h-2.800z"/>`),
  back: icon(svg`<path d="M10 5 5 10l5 5M15 5l-5 5 5 5"/>`),
  forward: icon(svg`<path d="m10 5 5 5-5 5M5 5l5 5-5 5"/>`),
  frameBack: icon(svg`<path d="m12.500 5-5 5 5 5M5 5v10"/>`),
  frameOn: icon(svg`<path d="m7.500 5 5 5-5 5M15 5v10"/>`),
  up: icon(svg`<path d="m5.500 12 4.500-4.500L14.500 12"/>`),
  box: icon(svg`<path d="M3.500 7V3.500H7M13 3.500h3.500V7M16.500 13v3.500H13M7 16.500H3.500V13M10 7v6M7 10h6"/>`),
  download: icon(svg`<path d="M10 3.500V12m-3-3 3 3 3-3M4 13v3.500h12V13"/>`),
};
