// Each item is an event, signed by itself. What is repeated has the same code,
// reference and outcome.
export default function handle({ data }) {
  if (!Array.isArray(data?.notificationItems)) throw new HttpError(400, 'the body has no notificationItems')
  return {
    events: data.notificationItems.map(({ NotificationRequestItem: item }) => ({
      id: `${item.eventCode}:${item.pspReference}:${item.success}`,
      type: item.eventCode,
      selector: `${item.eventCode}/${item.merchantAccountCode}`,
      payload: item,
    })),
    response: { status: 200, headers: { 'Content-Type': 'text/plain' }, data: '[accepted]' },
  }
}
