export const view = () => '';
