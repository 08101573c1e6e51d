// Takes a swipe of a finger over the picture as the way to the next or previous moment.

const FAR = 60; // pixels that a finger moves to the side, more than it moves up or down

/** onSwipe(1) when the finger moves to the left, onSwipe(-1) when it moves to the right. */
export class Swipe {
  constructor(element, onSwipe) {
    let start = null;
    element.addEventListener('touchstart', ({ touches }) => { start = touches.length === 1 ? touches[0] : null; }, { passive: true });
    element.addEventListener('touchend', (event) => {
      if (!start || event.target.closest('.player-boxes')) return;
      const [end] = event.changedTouches, dx = end.clientX - start.clientX, dy = end.clientY - start.clientY;
      if (Math.abs(dx) > FAR && Math.abs(dx) > 2 * Math.abs(dy)) onSwipe(dx < 0 ? 1 : -1);
      start = null;
    });
  }
}
