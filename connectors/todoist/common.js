// Both the webhook and the event must agree on how a user is named.
export const selectorOf = (userId) => `user_id:${userId}`
