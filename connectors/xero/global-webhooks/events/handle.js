// One request brings many events. They have no id: the same change at the same
// time is the same event.
export default function handle({ data }) {
  if (!Array.isArray(data?.events)) throw new HttpError(400, 'the body has no events')
  return {
    events: data.events.map((event, i) => {
      if (!event?.eventCategory || !event.eventType) throw new HttpError(400, `event ${i} of the body has no category or type`)
      const type = `${event.eventCategory}.${event.eventType}`
      const id = [type, event.resourceId, event.eventDateUtc].join(' ')
      return { id, type, selector: `${type}/${event.tenantId ?? '-'}`, payload: event }
    }),
  }
}
