import { entries, path } from 'common'

// One event for each message and each status; other fields are one event each.
export default function handle({ data }) {
  return {
    events: entries(data, 'whatsapp_business_account').flatMap((entry) =>
      (entry.changes ?? []).flatMap(({ field, value }) =>
        field === 'messages' ? conversation(value) : [{ type: field, selector: path(field, entry.id), payload: value }],
      ),
    ),
  }
}

function conversation(value) {
  const number = value.metadata?.phone_number_id
  const { messages = [], statuses = [] } = value
  // A value with one item, as nearly all have, is passed on untouched.
  const alone = messages.length + statuses.length === 1
  if (messages.length + statuses.length === 0) return [{ type: 'error', selector: path('error', number), payload: value }]
  return [
    ...messages.map((message) => ({
      id: message.id,
      type: `message.${message.type}`,
      selector: path(`message.${message.type}`, number, message.from),
      payload: alone ? value : { ...value, messages: [message], statuses: undefined },
    })),
    ...statuses.map((status) => ({
      id: `${status.id}:${status.status}`,
      type: `status.${status.status}`,
      selector: path(`status.${status.status}`, number, status.recipient_id),
      payload: alone ? value : { ...value, messages: undefined, statuses: [status] },
    })),
  ]
}
