// The specification recommends {type, timestamp, data}; senders that do
// something else are told apart by nothing but the body.
export default function handle({ data, headers }) {
  const type = typeof data?.type === 'string' ? data.type : 'event'
  return {
    events: [{ id: headers['webhook-id'] ?? headers['svix-id'], type, selector: type, payload: data ?? null }],
  }
}
