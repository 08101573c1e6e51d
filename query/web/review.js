export const registerReviewKeys = () => {};
export const selectionBar = () => '';
