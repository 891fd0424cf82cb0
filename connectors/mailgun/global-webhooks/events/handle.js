// Events come as JSON, mails that a route forwards as forms.
export default function handle({ data }) {
  const event = data?.['event-data']
  if (event) {
    const type = event.event
    return { events: [{ id: event.id, type, selector: `${type}/${event.recipient ?? '-'}`, payload: data }] }
  }
  if (data?.recipient === undefined) throw new HttpError(400, 'the body is neither an event nor a mail of Mailgun')
  const type = 'inbound'
  return { events: [{ id: data['Message-Id'], type, selector: `${type}/${data.recipient}`, payload: data }] }
}
