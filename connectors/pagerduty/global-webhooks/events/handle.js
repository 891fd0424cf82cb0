// Notes and responders name their incident in place of a service.
export default function handle({ data }) {
  const event = data?.event
  if (typeof event?.event_type !== 'string') throw new HttpError(400, 'the body is not an event of PagerDuty')
  const scope = event.data?.service?.id ?? event.data?.incident?.id ?? event.data?.id ?? '-'
  return { events: [{ id: event.id, type: event.event_type, selector: `${event.event_type}/${scope}`, payload: data }] }
}
