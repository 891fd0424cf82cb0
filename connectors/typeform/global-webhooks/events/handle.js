// The response is in a field that has the name of the event's type.
export default function handle({ data }) {
  const type = data?.event_type
  if (typeof type !== 'string') throw new HttpError(400, 'the body is not an event of Typeform')
  const form = data[type]?.form_id ?? data.form_response?.form_id ?? '-'
  return { events: [{ id: data.event_id, type, selector: `${type}/${form}`, payload: data }] }
}
