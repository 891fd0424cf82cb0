// One request brings up to a hundred events. Their id alone is not unique, so
// the subscription, object and time join it.
export default function handle({ data }) {
  if (!Array.isArray(data)) throw new HttpError(400, 'the body is not a list of events of HubSpot')
  return {
    events: data.map((event, i) => {
      const type = event?.subscriptionType
      if (typeof type !== 'string') throw new HttpError(400, `event ${i} of the body has no subscriptionType`)
      const id = [event.eventId, event.subscriptionId, event.objectId, event.occurredAt].join(':')
      return { id, type, selector: `${type}/${event.portalId ?? '-'}`, payload: event }
    }),
  }
}
