// entries returns what a notification brings, after checking what it is about.
export function entries(data, object) {
  if (data?.object !== object || !Array.isArray(data.entry)) {
    throw new HttpError(400, `the body is not a notification about ${object}`)
  }
  return data.entry
}

export function path(...parts) {
  return parts.filter((part) => part !== undefined && part !== '').join('/')
}

// messaging makes an event of each item of a conversation: messages, clicks,
// receipts and whatever else Meta names by the key it stands under. In standby
// another app has the conversation.
export function messaging(entry) {
  return [
    ...(entry.messaging ?? []).map((item) => one(entry.id, item, '')),
    ...(entry.standby ?? []).map((item) => one(entry.id, item, 'standby.')),
  ]
}

const frame = ['sender', 'recipient', 'timestamp']

function one(account, item, prefix) {
  const key = 'message' in item ? 'message' : (Object.keys(item).find((name) => !frame.includes(name)) ?? 'unknown')
  const content = item[key]
  const own = key === 'message' && content.is_echo
  const type = prefix + (own ? 'message_echo' : key === 'message' && content.is_deleted ? 'message_deleted' : key)
  const person = own ? item.recipient : item.sender
  return {
    id: content?.mid && [type, content.mid, item.timestamp].join(':'),
    type,
    selector: path(type, account, person?.id ?? person?.user_ref),
    payload: item,
  }
}
