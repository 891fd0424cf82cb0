// The header names the event; the body its repository.
export default function handle({ data, headers }) {
  const type = headers['x-event-key']
  if (!type) throw new HttpError(400, 'the header X-Event-Key is missing')
  if (!data || typeof data !== 'object') throw new HttpError(400, 'the body is not a JSON object')
  const scope = data.repository?.full_name ?? data.workspace?.slug ?? '-'
  return { events: [{ id: headers['x-request-uuid'], type, selector: `${type}/${scope}`, payload: data }] }
}
