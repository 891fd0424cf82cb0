// Deliveries have no id: the same thing at the same time is the same event.
export default function handle({ data }) {
  const type = data?.event
  if (typeof type !== 'string') throw new HttpError(400, 'the body is not an event of Calendly')
  const { payload } = data
  const kind = payload?.scheduled_event?.event_type ?? payload?.event_type
  const scope = typeof kind === 'string' ? kind.split('/').pop() : '-'
  const id = payload?.uri && data.created_at ? `${type} ${payload.uri} ${data.created_at}` : undefined
  return { events: [{ id, type, selector: `${type}/${scope}`, payload: data }] }
}
