// Says how tall the timeline is, which is known before it is loaded.

export const AXIS = 38; // height of the axis in CSS pixels
export const ROW = 24;
export const STRIP = 78; // height of the pictures, where there are any
const PART = 0.22; // of the window's height, which the rows take at most

/** The height of a timeline in CSS pixels; `most` rows are in view, or as many as the window has room for. */
export const heightOf = (rows, most = 0) =>
  AXIS + ROW * Math.max(1, Math.min(rows, most || Math.max(4, Math.floor(window.innerHeight * PART / ROW))));
