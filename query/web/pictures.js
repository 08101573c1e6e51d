// Reads pictures that people drop, paste or choose, scaled down to what a model looks at; asks again for those not yet there.

const SIDE = 320; // longest side in pixels; every model looks at fewer
const QUALITY = 0.82;

/**
 * @param {Blob} file any picture that the browser can decode.
 * @returns {Promise<{sign: string, name: string, data: string}>} JPEG in base64, small enough to be part of an address.
 */
export async function readPicture(file, sign = 'plus') {
  const bitmap = await createImageBitmap(file);
  const scale = Math.min(1, SIDE / Math.max(bitmap.width, bitmap.height));
  const canvas = document.createElement('canvas');
  canvas.width = Math.max(1, Math.round(bitmap.width * scale));
  canvas.height = Math.max(1, Math.round(bitmap.height * scale));
  const context = canvas.getContext('2d');
  context.fillStyle = '#fff'; // JPEG has no transparency
  context.fillRect(0, 0, canvas.width, canvas.height);
  context.imageSmoothingQuality = 'high';
  context.drawImage(bitmap, 0, 0, canvas.width, canvas.height);
  bitmap.close();
  const data = canvas.toDataURL('image/jpeg', QUALITY).split(',')[1].replace(/=+$/, '');
  return { sign, name: (file.name || 'picture').slice(0, 60), data };
}

export const picturesOf = (transfer) => [...(transfer?.files ?? [])].filter((file) => file.type.startsWith('image/'));

/** The JPEG of a picture of the state. */
export const blobOf = ({ data }) => new Blob([Uint8Array.from(atob(data), (one) => one.charCodeAt(0))], { type: 'image/jpeg' });

const urls = new Map();

/** A blob: address of a picture of the state; kept while the page is open. */
export function pictureUrl({ data }) {
  if (!urls.has(data)) {
    urls.set(data, URL.createObjectURL(blobOf({ data })));
  }
  return urls.get(data);
}

const AGAIN = [1000, 2000, 4000]; // milliseconds after which a picture is asked for once more
const asked = new WeakMap(); // of an <img>: {src, times}

/** Handles an error of an <img>: the last second of a live camera is written a moment after it is indexed. */
export function askAgain({ target }) {
  const { src } = target;
  const times = asked.get(target)?.src === src ? asked.get(target).times : 0;
  if (times >= AGAIN.length) return;
  asked.set(target, { src, times: times + 1 });
  setTimeout(() => { if (target.isConnected && target.src === src) target.src = src; }, AGAIN[times]);
}
