export const mountTimeline = () => {};
