// Plays a silent preview of the card under the pointer or with the focus; where no clip may be had, its pictures.

import * as api from './api.js';
import { momentsOf, store } from './state.js';

const PAUSE = 350; // milliseconds for which the pointer rests first
const STEP = 450; // milliseconds a picture is shown
const calm = matchMedia('(prefers-reduced-motion: reduce)');

let current = null; // {shot, stop}

export function showPreview(event) {
  const shot = event.target.closest?.('.shot');
  if (!shot) {
    if (event.type === 'pointerover') hidePreview();
    return;
  }
  if (shot === current?.shot || calm.matches || event.pointerType === 'touch') return;
  hidePreview();
  const abort = new AbortController();
  const timer = setTimeout(() => play(shot, abort.signal), PAUSE);
  current = { shot, stop: () => { clearTimeout(timer); abort.abort(); } };
}

export function hidePreview() {
  current?.stop();
  current = null;
}

function play(shot, signal) {
  const id = shot.closest('.card').dataset.id;
  const moment = momentsOf(store.get()).find((one) => one.id === id);
  if (!moment || moment.score === null || moment.missing) return;
  if (store.get().session?.role === 'view') {
    playPictures(shot, moment, signal);
    return;
  }
  const video = document.createElement('video');
  video.muted = video.loop = video.playsInline = true;
  video.setAttribute('aria-hidden', 'true');
  video.src = api.clipUrl(id, { play: 1, pad: 1 });
  video.addEventListener('playing', () => shot.classList.add('previewing'), { once: true });
  const end = () => {
    video.removeAttribute('src');
    video.load();
    video.remove();
    shot.classList.remove('previewing');
  };
  video.addEventListener('error', () => {
    if (signal.aborted) return;
    end();
    playPictures(shot, moment, signal);
  }, { once: true });
  signal.addEventListener('abort', end);
  shot.append(video);
  video.play().catch(() => {}); // an error is told by its event
}

async function playPictures(shot, moment, signal) {
  const still = shot.querySelector('img');
  const first = still.src;
  signal.addEventListener('abort', () => { still.src = first; });
  try {
    const { frames } = await api.frames({ camera: moment.camera, from: moment.start, to: moment.end, limit: 12 }, { signal });
    for (let i = 0; frames.length > 1 && !signal.aborted; i += 1) {
      const url = api.frameUrl(frames[i % frames.length].id, { side: 240 });
      await load(url);
      if (!signal.aborted) still.src = url;
      await new Promise((resolve) => { setTimeout(resolve, STEP); });
    }
  } catch (error) {
    if (error.name !== 'AbortError') hidePreview();
  }
}

const load = (url) => new Promise((resolve) => {
  const image = new Image();
  image.onload = image.onerror = resolve;
  image.src = url;
});
