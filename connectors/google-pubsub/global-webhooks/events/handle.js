// https://cloud.google.com/pubsub/docs/push#receive_push
// Unwrapped, the body is the message's data, and what else there is stands in headers.
export default function handle({ data, headers, rawBytes }) {
  const id = headers['x-goog-pubsub-message-id']
  if (id) {
    const name = headers['x-goog-pubsub-subscription-name']
    const payload = data ?? (rawBytes.length > 0 ? { data_base64: Buffer.from(rawBytes).toString('base64') } : null)
    return { events: [one(id, name, { eventType: headers.eventtype, 'ce-type': headers['ce-type'] }, payload)] }
  }
  if (typeof data?.message?.messageId !== 'string' || typeof data.subscription !== 'string') {
    throw new HttpError(400, 'the body is not a message of Pub/Sub; unwrapped messages need the metadata in headers')
  }
  const payload = { data: decode(data.message.data), envelope: data }
  return { events: [one(data.message.messageId, data.subscription, data.message.attributes ?? {}, payload)] }
}

// Ids are unique within a topic, so the subscription joins them.
function one(id, subscription, attributes, payload) {
  // projects/acme/subscriptions/orders
  const [, project, , name] = String(subscription).split('/')
  const type = attributes.eventType ?? attributes['ce-type'] ?? 'message'
  return { id: `${subscription}/${id}`, type, selector: [type, project, name].filter(Boolean).join('/'), payload }
}

// The data of a message is JSON, text, or bytes, of which there is nothing to show.
function decode(encoded) {
  if (!encoded) return undefined
  let text
  try {
    text = new TextDecoder('utf-8', { fatal: true }).decode(Buffer.from(encoded, 'base64'))
  } catch {
    return undefined
  }
  try {
    return JSON.parse(text)
  } catch {
    return text
  }
}
