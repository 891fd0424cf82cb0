// One request brings many events, of many mails.
export default function handle({ data }) {
  if (!Array.isArray(data)) throw new HttpError(400, 'the body is not a list of events of SendGrid')
  return {
    events: data.map((event, i) => {
      const type = event?.event
      if (typeof type !== 'string') throw new HttpError(400, `event ${i} of the body has no type`)
      return { id: event.sg_event_id, type, selector: `${type}/${event.email ?? '-'}`, payload: event }
    }),
  }
}
