// Texts of the timeline, player, review, live, watches and shares.

export const play = {};
