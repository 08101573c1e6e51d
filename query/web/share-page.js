// Shows the one moment that a link shares: its picture, its clip, and when the link ends. Nothing else is asked for.

import { html, render } from './vendor/lit-html/lit-html.js';
import { fullOf, lengthOf, utcOf } from './format.js';
import { text as t } from './strings.js';

const text = t.sharePage;
const here = window.location.pathname.replace(/\/$/, '');
const element = document.getElementById('share');

function page(moment) {
  const length = (Date.parse(moment.end) - Date.parse(moment.start)) / 1000;
  const broken = (event) => event.target.replaceWith(Object.assign(new Image(), { src: `${here}/picture.jpg`, alt: text.picture }));
  return html`<h1>${moment.camera}</h1>
    <p><time datetime=${moment.start} title=${utcOf(moment.start)}>${fullOf(moment.start)}</time>${length ? html` · ${lengthOf(length)}` : ''}</p>
    <video controls playsinline preload="metadata" poster="${here}/picture.jpg" src="${here}/clip.mp4" @error=${broken}></video>
    <p><a class="button" href="${here}/clip.mp4" download="clip.mp4">${t.app.clip}</a>
      <a class="button" href="${here}/picture.jpg" download="picture.jpg">${text.pictureFile}</a></p>
    <p class="hint">${text.until(fullOf(moment.expires))}</p>`;
}

async function show() {
  try {
    const response = await fetch(`${here}/moment.json`);
    const told = await response.json();
    if (response.ok) {
      document.title = `${told.camera} · ${fullOf(told.start)}`;
      render(page(told), element);
    } else {
      const why = response.status === 404 ? text.over : told.error;
      render(html`<h1>${text.gone}</h1><p>${why}</p><p class="hint">${text.ask}</p>`, element);
    }
  } catch {
    render(html`<h1>${text.gone}</h1><p>${t.app.unreachable}</p>`, element);
  }
  document.getElementById('starting').remove();
}

show();
