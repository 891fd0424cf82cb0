// The specification recommends {type, timestamp, data}; senders that do
// something else are told apart by nothing but the body.
export default function handle({ data, headers }) {
  if (!data || typeof data !== 'object') throw new HttpError(400, 'the body is not a JSON object')
  const type = typeof data.type === 'string' ? data.type : 'event'
  return { events: [{ id: headers['webhook-id'] ?? headers['svix-id'], type, selector: type, payload: data }] }
}
