export const mountPlayer = () => {};
