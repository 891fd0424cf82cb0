exports.getEventSelector = ({ parameters }) => ({
  globalWebhookKey: 'all-events',
  globalWebhookEventSelector: `depot:${parameters.depot}`,
})
